"""Which preconditioner, and how it is made from a subsample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..maps import ParameterLayer, PushForward
from .block_gram import blocks_by_output, gram_of_blocks, mean_energies, one_block
from .kronecker import kronecker_factors
from .nystrom import nystrom
from .preconditioner import DiagonalBlocks, Factorable
from .subsample import Subsample, axes_fit, layers_at

_DENSE = 1024  # parameters up to which all of Ĝ is one block
_ROWS = 1_000_000  # d p² up to which Ĝ is made from rows of J, 4 GFlop for 2000 samples
_BLOCK = 2048  # most parameters of a block elsewhere: q² numbers, q³/3 operations to factor it


class Preconditioning(StrEnum):
    """`dense`: Ĝ of a subsample. `outputs`: its diagonal blocks, one for each output coordinate
    with the hidden units that move it most. `kronecker`: factors per layer. `nystrom`: a low-rank
    approximation. `none`: plain iterations. `automatic`: dense for few parameters, else outputs
    where its blocks are small enough, else kronecker; none for many parameters that come in no
    layers (planar flows, modules), and in the energy form, whose noise a better solve would fit."""

    AUTOMATIC = "automatic"
    NONE = "none"
    DENSE = "dense"
    OUTPUTS = "outputs"
    KRONECKER = "kronecker"
    NYSTROM = "nystrom"


@dataclass(frozen=True)
class Built:
    """What was made: what is known of Ĝ, and the floating-point operations that it took."""

    known: Factorable
    operations: float


def fitting(map: PushForward) -> Preconditioning:
    """The kind that `automatic` stands for."""
    parameters, d = map.parameter_count(), map.dimension
    if not _layered(layers_at(map)):
        rows = d * parameters * parameters
        return Preconditioning.DENSE if rows <= _ROWS else Preconditioning.NONE
    if parameters <= _DENSE:
        return Preconditioning.DENSE
    if axes_fit(d) and parameters <= d * _BLOCK / 2:
        return Preconditioning.OUTPUTS
    return Preconditioning.DENSE if parameters <= _BLOCK else Preconditioning.KRONECKER


def _layered(layers: Sequence[ParameterLayer]) -> bool:
    """Whether the layers have inputs of their own: else they are rows of J."""
    return any(layer.index.shape[1] > 1 for layer in layers)


def wanted_samples(map: PushForward) -> int:
    """Samples of a subsample: 2000, or enough for four rows of J a parameter of a block; 600 where
    the parameters are so many that making it is what takes the time."""
    if map.parameter_count() > _BLOCK and _layered(layers_at(map)):
        return 600
    return max(2000, -(-4 * min(map.parameter_count(), _BLOCK) // map.dimension))


def build(sample: Subsample, kind: Preconditioning, shift: float) -> Built:
    """The preconditioner of a kind from the subsample of all ranks; collective, and the same bits
    on every rank. `shift`: ε/‖Ĝ‖, which nystrom resolves."""
    if kind is Preconditioning.NYSTROM:
        return _nystrom(sample, shift)
    if kind is Preconditioning.KRONECKER:
        return _kronecker(sample)
    return _blocks(sample, by_output=kind is Preconditioning.OUTPUTS)


def _blocks(sample: Subsample, *, by_output: bool) -> Built:
    layers = layers_at(sample.map)
    if by_output:
        blocks = blocks_by_output(layers, mean_energies(sample, layers))
        if max(len(block.index) for block in blocks) > 2 * _BLOCK:
            return _kronecker(sample)
    else:
        blocks = one_block(layers)
    grams = gram_of_blocks(sample, blocks, layers[0].input)
    sizes = [float(len(block.index)) for block in blocks]
    rows = sample.total * (1 if _layered(layers) else sample.directions)
    work = sum(2 * rows * q * q + q**3 for q in sizes)
    return Built(DiagonalBlocks(grams, [block.index for block in blocks]), work)


def _kronecker(sample: Subsample) -> Built:
    layers = layers_at(sample.map)
    sides = [float(q) for layer in layers for q in layer.index.shape]
    work = sum(2 * sample.total * q * q + 10 * q**3 for q in sides)
    return Built(kronecker_factors(sample, layers), work)


def _nystrom(sample: Subsample, shift: float) -> Built:
    layers, parameters = layers_at(sample.map), sample.map.parameter_count()
    found = nystrom(sample, parameters, shift, layers[0].input)
    rank = float(len(found.values))
    work = 8 * sample.total * sample.directions * parameters * rank + 6 * parameters * rank**2
    return Built(found, work)
