"""Choice of a preconditioner of Ĝ, and its construction from a subsample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..choices import Preconditioning
from ..ensemble import Ensemble
from ..maps import ParameterLayer, PushForward
from ..matrix_field import MatrixField
from .block_gram import (
    Block,
    blocks_by_output,
    gram,
    mean_energies,
    one_block,
    probed_grams,
)
from .diagonal_blocks import DiagonalBlocks
from .kronecker import kronecker_factors
from .layer_roles import roles_of
from .layered_moments import layered_gram, wanted_samples
from .nystrom import nystrom
from .preconditioner import GramModel
from .shared_blocks import SharedBlocks, own_blocks, stay_apart
from .subsample import Subsample, axes_fit, layers_at

_DENSE = 1024  # With at most so many parameters all of Ĝ is one block.
_ROWS = 1_000_000  # For larger d p², Ĝ from rows of J costs over 4 GFlop for 2000 samples.
_BLOCK = 2048  # Larger blocks cost too much: q² numbers, and q³/3 operations to factor them.

_SAMPLES, _LEAST = 2000, 500  # of a subsample, where parameters do not ask for more
_PRODUCTS = 25.0  # What a preconditioner of one block may take, in products, if 2000 take more.
_OWNING = 256  # So many samples suffice to tell which output a unit moves most.


@dataclass(frozen=True)
class PreconditionerBuild:
    """An approximation of Ĝ, and what it has cost."""

    model: GramModel
    """The approximation, from which preconditioners are made for any shift."""
    operations: float
    """Floating-point operations to build it from the samples of all ranks, and to factor it."""


def default_preconditioner(map: PushForward) -> Preconditioning:
    """The kind that `Preconditioning.AUTOMATIC` stands for, for this map in the force form."""
    parameters, d, layers = map.parameter_count(), map.dimension, layers_at(map)
    layered = _layered(layers)
    if map.evaluations > 1 or not layered:
        rows = d * parameters * parameters  # Fewer products pay for more, where these are dear.
        if rows <= _ROWS * map.evaluations and parameters <= _BLOCK:
            return Preconditioning.DENSE
        return Preconditioning.KRONECKER if layered else Preconditioning.NONE
    if parameters <= _DENSE:
        return Preconditioning.DENSE
    if _is_shallow(layers):
        return Preconditioning.LAYERS
    if _outputs_fit(map):
        return Preconditioning.OUTPUTS
    return Preconditioning.DENSE if parameters <= _BLOCK else Preconditioning.KRONECKER


def _layered(layers: Sequence[ParameterLayer]) -> bool:
    """Whether a layer has inputs of its own; else the sensitivities are the rows of J."""
    return any(layer.index.shape[1] > 1 for layer in layers)


def _is_shallow(layers: Sequence[ParameterLayer]) -> bool:
    """Whether parts of the map have a hidden layer at most, whose units then move the outputs in
    hardly changing directions."""
    roles = roles_of(layers)
    return roles is not None and len(roles.hidden) <= 1 + len(roles.inner)


def subsample_size(
    map: PushForward, kind: Preconditioning = Preconditioning.DENSE, samples: float = math.inf
) -> int:
    """How many samples a subsample should have, of all ranks.

    They are 2000, or as many as give four rows of J (d for each sample) for each parameter of the
    largest block; by layers those of `wanted_samples`. One block takes fewer than 2000, but 500 at
    least, where a product with the Ĝ of n `samples` takes so little that more would not pay.
    """
    if kind is Preconditioning.LAYERS:
        return wanted_samples(layers_at(map))
    parameters, most = map.parameter_count(), float(_SAMPLES)
    if kind is Preconditioning.DENSE:
        # 2 p² operations for each sample of the subsample, and 8 p for each of a product.
        most = min(most, max(_LEAST, _PRODUCTS * 4.0 * samples / parameters))
    return max(math.ceil(most), -(-4 * min(parameters, _BLOCK) // map.dimension))


def build(sample: Subsample, kind: Preconditioning, shift: float) -> PreconditionerBuild:
    """An approximation of Ĝ of the given kind, from the subsample of all ranks.

    `kind`: neither automatic nor none. Layers are replaced by blocks by outputs where every unit
    moves one output, and blocks by outputs that would be too large by Kronecker factors. `shift`:
    ε/‖Ĝ‖ for the shifted metric Ĝ + εI, down to which Nyström's approximation resolves eigenvalues.
    Collective, with the same bits on every rank.
    """
    if kind is Preconditioning.NYSTROM:
        return _nystrom(sample, shift)
    if kind is Preconditioning.KRONECKER:
        return _kronecker(sample)
    if kind is Preconditioning.LAYERS:
        return _layered_gram(sample, shift)
    return _outputs(sample) if kind is Preconditioning.OUTPUTS else _dense(sample)


def build_for(
    map: PushForward, ensemble: Ensemble, kind: Preconditioning, shift: float,
    roots: Sequence[MatrixField] | None = None,
) -> PreconditionerBuild:  # fmt: skip
    """`build` at the map's present parameters, from a subsample of the samples of an ensemble.
    `roots`: R with P⁻¹ = RᵀR, P the mobility at every chunk; None for I."""
    sample = Subsample.of(
        map, ensemble.points, ensemble.sizes, subsample_size(map, kind, ensemble.total),
        ensemble.communicator, [chunk.weight for chunk in ensemble.chunks], roots,
    )  # fmt: skip
    return build(sample, kind, shift)


def _dense(sample: Subsample) -> PreconditionerBuild:
    layers = sample.layers
    block = one_block(layers)
    rows = sample.total * sample.directions
    work = (sample.total if _layered(layers) else rows) * 2.0 * len(block.index) ** 2
    return _built(sample, [block], [gram(sample, block)], rows, work)


def _outputs(sample: Subsample) -> PreconditionerBuild:
    layers = sample.layers
    blocks = blocks_by_output(layers, mean_energies(sample.fewer(_OWNING), layers))
    if max(len(block.index) for block in blocks) > 2 * _BLOCK:
        return _kronecker(sample)
    work = sum(2.0 * sample.total * len(block.index) ** 2 for block in blocks)
    if stay_apart([len(block.index) for block in blocks], sample.communicator):
        return _apart(sample, blocks, work)
    return _built(sample, blocks, probed_grams(sample, blocks), sample.total, work)


def _apart(sample: Subsample, blocks: Sequence[Block], work: float) -> PreconditionerBuild:
    """Each block as a mean over all samples by one rank. Where these have roots, which are not
    told, every rank takes part in every mean."""
    own = own_blocks(len(blocks), sample.communicator)
    if sample.weighted:
        grams = probed_grams(sample, blocks)
        mine = [grams[k] for k in own]
    else:
        mine = probed_grams(sample.on_all(), [blocks[k] for k in own])
    # In memory of their own: they lie in one tensor, and products depend on where.
    found = {k: gram.clone() for k, gram in zip(own, mine, strict=True)}
    indices = [block.index for block in blocks]
    model = SharedBlocks.of(found, indices, sample.total, sample.communicator)
    return PreconditionerBuild(model, _with_factors(work, indices))


def _layered_gram(sample: Subsample, shift: float) -> PreconditionerBuild:
    model = layered_gram(sample, shift, unless_on_axes=_outputs_fit(sample.map))
    if model is not None:
        return PreconditionerBuild(model, model.operations)
    sample = sample.fewer(subsample_size(sample.map, Preconditioning.OUTPUTS))
    return _outputs(sample) if axes_fit(sample.map.dimension) else _kronecker(sample)


def _outputs_fit(map: PushForward) -> bool:
    """Whether there are directions for all outputs, and their blocks are not too large."""
    return axes_fit(map.dimension) and map.parameter_count() <= map.dimension * _BLOCK / 2


def _built(
    sample: Subsample, blocks: Sequence[Block], grams: Sequence[Tensor], rows: int, work: float
) -> PreconditionerBuild:
    """The blocks as means over `rows` rows of J, which took `work` operations; factoring a block
    of q parameters is counted as q³ more."""
    indices = [block.index for block in blocks]
    model = DiagonalBlocks(grams, indices, rows, sample.communicator)
    return PreconditionerBuild(model, _with_factors(work, indices))


def _with_factors(work: float, indices: Sequence[Tensor]) -> float:
    """`work` and the operations of factoring blocks of these parameters."""
    return work + sum(float(len(index)) ** 3 for index in indices)


def _kronecker(sample: Subsample) -> PreconditionerBuild:
    layers = sample.layers
    sides = [float(q) for layer in layers for q in layer.index.shape]
    work = sum(2 * sample.total * q * q + 10 * q**3 for q in sides)
    return PreconditionerBuild(kronecker_factors(sample, layers), work)


def _nystrom(sample: Subsample, shift: float) -> PreconditionerBuild:
    parameters = sample.map.parameter_count()
    found = nystrom(sample, parameters, shift)
    rank = float(len(found.values))
    work = 8 * sample.total * sample.directions * parameters * rank + 6 * parameters * rank**2
    return PreconditionerBuild(found, work)
