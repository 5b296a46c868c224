"""Diagonal blocks of Ĝ, factored: all of it as one block, or one for each output coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .layer_gram import gram_of_layers
from .subsample import Subsample


@dataclass(frozen=True)
class Block:
    """Parameters that are taken together, all pairs of them. `units`: for every layer the rows of
    its W that belong to the block; `index`: the places of all in θ, (q,)."""

    units: Sequence[Tensor]
    index: Tensor

    def of(self, layers: Sequence[ParameterLayer]) -> list[ParameterLayer]:
        """The part of the layers that belongs to the block."""
        return [
            replace(layer, sensitivity=layer.sensitivity[:, :, rows], index=layer.index[rows])
            for layer, rows in zip(layers, self.units, strict=True)
            if len(rows)
        ]


def one_block(layers: Sequence[ParameterLayer]) -> Block:
    """All parameters together: Ĝ itself."""
    units = [torch.arange(len(layer.index), device=layer.index.device) for layer in layers]
    return _block(layers, units)


def blocks_by_output(layers: Sequence[ParameterLayer], energy: Sequence[Tensor]) -> list[Block]:
    """One block for each output coordinate, of the hidden units that move it most. `energy`: for
    every layer E[B²], (d, h)."""
    owned = [_owned(_owners(each), len(each)) for each in energy]
    blocks = [_block(layers, units) for units in zip(*owned, strict=True)]
    return [block for block in blocks if len(block.index)]


def _owned(owners: Tensor, outputs: int) -> Sequence[Tensor]:
    """For each output the hidden units it owns, in rising order."""
    each = torch.arange(outputs, device=owners.device)
    counts = (owners == each[:, None]).sum(1)
    return owners.argsort(stable=True).split(counts.tolist())


def _owners(energy: Tensor) -> Tensor:
    """The output of every hidden unit, (d, h) → (h,): that of whose motion it makes the largest
    share, as coordinates may differ in scale; in turn where it moves none."""
    d, h = energy.shape
    share = energy / energy.sum(1, keepdim=True).clamp(min=torch.finfo(energy.dtype).tiny)
    in_turn = torch.arange(h, device=energy.device) % d
    return torch.where(energy.sum(0) > 0, share.argmax(0), in_turn)


def _block(layers: Sequence[ParameterLayer], units: Sequence[Tensor]) -> Block:
    places = [layer.index[rows].reshape(-1) for layer, rows in zip(layers, units, strict=True)]
    return Block(units, torch.cat(places))


def mean_energies(sample: Subsample, layers: Sequence[ParameterLayer]) -> list[Tensor]:
    """E[B²] of every layer over the subsample, (d, h) each; `layers`: of any of its samples."""
    shapes = [layer.sensitivity.shape[1:] for layer in layers]

    def add(total: Tensor, chunk: list[ParameterLayer]) -> None:
        parts = [layer.sensitivity.double().square().sum(0).reshape(-1) for layer in chunk]
        total += torch.cat(parts)

    flat = sample.mean(add, [sum(shape.numel() for shape in shapes)])
    parts = flat.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def gram(sample: Subsample, block: Block) -> Tensor:
    """E[JᵀJ] over the subsample for the parameters of a block, (q, q) in float64."""
    size = len(block.index)

    def add(total: Tensor, layers: list[ParameterLayer]) -> None:
        total += gram_of_layers(block.of(layers))

    return sample.mean(add, [size, size])


def probed_grams(sample: Subsample, blocks: Sequence[Block]) -> list[Tensor]:
    """The same for every block in the mean over random signs s: E[(sᵀJ)ᵀ sᵀJ], a row a sample.
    Of a block whose units move one output only it is the same; every other is about as good a
    preconditioner, and d times cheaper. The products are those of the run's precision."""
    sizes = [len(block.index) for block in blocks]

    def add(total: Tensor, layers: list[ParameterLayer]) -> None:
        parts = total.split([size * size for size in sizes])
        for block, part in zip(blocks, parts, strict=True):
            rows = torch.cat([_row(layer) for layer in block.of(layers)], 1)
            part += (rows.T @ rows).view(-1)

    flat = sample.mean(add, [sum(size * size for size in sizes)], probes=1)
    parts = flat.split([size * size for size in sizes])
    return [part.view(size, size) for part, size in zip(parts, sizes, strict=True)]


def _row(layer: ParameterLayer) -> Tensor:
    """sᵀ∂T/∂W of a layer seen in one direction: (n, h k)."""
    return (layer.sensitivity[:, 0, :, None] * layer.input[:, None, :]).flatten(1)
