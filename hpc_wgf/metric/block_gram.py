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


def one_block(layers: Sequence[ParameterLayer]) -> list[Block]:
    """All parameters together: Ĝ itself."""
    units = [torch.arange(len(layer.index), device=layer.index.device) for layer in layers]
    return [_block(layers, units)]


def blocks_by_output(layers: Sequence[ParameterLayer], energy: Sequence[Tensor]) -> list[Block]:
    """One block for each output coordinate, of the hidden units that move it most. `energy`: for
    every layer E[B²], (d, h)."""
    owners = [_owners(each) for each in energy]
    blocks = [
        _block(layers, [(owner == k).nonzero()[:, 0] for owner in owners])
        for k in range(energy[0].shape[0])
    ]
    return [block for block in blocks if len(block.index)]


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

    def squares(chunk: list[ParameterLayer]) -> Tensor:
        return torch.cat([layer.sensitivity.square().sum(0).reshape(-1) for layer in chunk])

    flat = sample.mean(squares, torch.zeros_like(squares(list(layers))))
    parts = flat.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def gram_of_blocks(sample: Subsample, blocks: Sequence[Block], like: Tensor) -> list[Tensor]:
    """E[JᵀJ] over the subsample for every block, (q, q) each in float64."""
    sizes = [len(block.index) for block in blocks]

    def contribution(layers: list[ParameterLayer]) -> Tensor:
        return torch.cat([gram_of_layers(block.of(layers)).reshape(-1) for block in blocks])

    flat = sample.mean(contribution, like.new_zeros(sum(size * size for size in sizes)))
    parts = flat.split([size * size for size in sizes])
    return [part.view(size, size) for part, size in zip(parts, sizes, strict=True)]
