"""Diagonal blocks of Ĝ from a subsample: Ĝ as one block, or a block for each output coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .layer_gram import columns_of, gram_of_layers
from .subsample import Subsample
from .syrk import times_own_transpose


@dataclass(frozen=True)
class Block:
    """q parameters, the rows and columns of one diagonal block of Ĝ."""

    units: Sequence[Tensor]
    """For every layer the rows of its W, its hidden units, that belong to the block, rising."""
    index: Tensor
    """The places of the parameters in θ, (q,)."""

    def of(self, layers: Sequence[ParameterLayer]) -> list[ParameterLayer]:
        """The layers restricted to the rows in the block; layers without any are left out."""
        return [
            _restricted(layer, rows)
            for layer, rows in zip(layers, self.units, strict=True)
            if len(rows)
        ]


def _restricted(layer: ParameterLayer, rows: Tensor) -> ParameterLayer:
    if len(rows) == len(layer.index):  # as they rise, these are all of them
        return layer
    return replace(
        layer, sensitivity=layer.sensitivity[:, :, rows], index=layer.index[rows], on_axes=False
    )


def one_block(layers: Sequence[ParameterLayer]) -> Block:
    """One block of all parameters, whose part of Ĝ is Ĝ itself."""
    units = [torch.arange(len(layer.index), device=layer.index.device) for layer in layers]
    return _block(layers, units)


def blocks_by_output(layers: Sequence[ParameterLayer], energy: Sequence[Tensor]) -> list[Block]:
    """A block for each output coordinate, of the hidden units that move it most.

    `energy`: for every layer E[B²], (d, h), from `mean_energies`. Coordinates that no unit moves
    most have no block.
    """
    owned = [_owned(_owners(each), len(each)) for each in energy]
    blocks = [_block(layers, units) for units in zip(*owned, strict=True)]
    return [block for block in blocks if len(block.index)]


def _owned(owners: Tensor, outputs: int) -> Sequence[Tensor]:
    """For each output the hidden units that belong to it, in rising order."""
    each = torch.arange(outputs, device=owners.device)
    counts = (owners == each[:, None]).sum(1)
    return owners.argsort(stable=True).split(counts.tolist())


def _owners(energy: Tensor) -> Tensor:
    """The output to which each hidden unit belongs, (d, h) → (h,).

    It is the one in whose energy Σ_h E[B²] the unit has the largest share, since coordinates may
    differ in scale. Units that move no output are dealt out in turn.
    """
    d, h = energy.shape
    share = energy / energy.sum(1, keepdim=True).clamp(min=torch.finfo(energy.dtype).tiny)
    in_turn = torch.arange(h, device=energy.device) % d
    return torch.where(energy.sum(0) > 0, share.argmax(0), in_turn)


def _block(layers: Sequence[ParameterLayer], units: Sequence[Tensor]) -> Block:
    places = [layer.index[rows].reshape(-1) for layer, rows in zip(layers, units, strict=True)]
    return Block(units, torch.cat(places))


def cut(
    block: Block, layers: Sequence[ParameterLayer], kept: Sequence[Tensor], most: int
) -> list[Block]:
    """The block in parts of `most` parameters, or of a unit with more. `kept`: whether the units
    of every layer belong to any, (h,)."""
    parts: list[list[Tensor]] = []
    room = 0
    for k, (layer, rows) in enumerate(zip(layers, block.units, strict=True)):
        inputs = layer.index.shape[1]
        for row in rows[kept[k][rows]].split(1):
            if not len(row):
                continue
            if room < inputs or not parts:
                parts.append([rows[:0] for rows in block.units])
                room = most
            parts[-1][k], room = torch.cat([parts[-1][k], row]), room - inputs
    return [_block(layers, units) for units in parts]


def mean_energies(sample: Subsample, layers: Sequence[ParameterLayer]) -> list[Tensor]:
    """E[B²] of every layer over the subsample of all ranks, (d, h) each, in float64; collective.

    `layers`: those of `layers_at`, for their shapes.
    """
    shapes = [layer.sensitivity.shape[1:] for layer in layers]

    def add(total: Tensor, chunk: list[ParameterLayer]) -> None:
        parts = [layer.sensitivity.double().square().sum(0).reshape(-1) for layer in chunk]
        total += torch.cat(parts)

    flat = sample.mean(add, [sum(shape.numel() for shape in shapes)])
    parts = flat.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def gram(sample: Subsample, block: Block) -> Tensor:
    """E[JᵀJ] over the subsample of all ranks, J the derivative of T in the parameters of the block:
    (q, q) in float64; collective."""
    size = len(block.index)

    def add(total: Tensor, layers: list[ParameterLayer]) -> None:
        total += gram_of_layers(block.of(layers))

    return sample.mean(add, [size, size])


def probed_grams(sample: Subsample, blocks: Sequence[Block]) -> list[Tensor]:
    """E[(sᵀJ)ᵀ sᵀJ] of every block, s ∈ {±1}ᵈ drawn at random for each sample, so that E[ssᵀ] = I.

    In the mean over s this is `gram`, but with one row sᵀJ for each sample in place of the d rows
    of J. For a block whose units move one output only both are equal; elsewhere it makes about as
    good a preconditioner. Each is (q, q) in float64, of products in the run's precision;
    collective.
    """
    sizes = [len(block.index) for block in blocks]
    if not sizes:
        return []

    def add(total: Tensor, layers: list[ParameterLayer]) -> None:
        parts = total.split([size * size for size in sizes])
        for block, part in zip(blocks, parts, strict=True):
            part += times_own_transpose(columns_of(block.of(layers))).view(-1)

    flat = sample.mean(add, [sum(size * size for size in sizes)], probes=1)
    parts = flat.split([size * size for size in sizes])
    return [part.view(size, size) for part, size in zip(parts, sizes, strict=True)]
