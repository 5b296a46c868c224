"""The few samples from which a preconditioner of Ĝ is made: their number does not grow with n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..maps import ParameterLayer, PushForward
from ..parallel import Communicator, TreeSum

_MOST_LEAVES = 4  # leaves of all ranks that give samples: 500 each keep matrix products large
_MOST_DIRECTIONS = 64  # up to this dimension every coordinate is a direction; above, random signs
_ENTRIES = 1 << 22  # numbers in the layers of a chunk, about

# The contribution of a chunk's layers, seen by `directions` that add up to the identity.
Contribution = Callable[[list[ParameterLayer]], Tensor]


@dataclass(frozen=True)
class Subsample:
    """The first samples of some leaves. `pieces`: this rank's, by the number of the leaf among all,
    (m_leaf, d); `total`: m, over all ranks. Sums go up the tree of all leaves, so that they are the
    same bits on 1, 2, 4, … ranks."""

    map: PushForward
    pieces: Mapping[int, Tensor]
    total: int
    communicator: Communicator

    @classmethod
    def of(
        cls,
        map: PushForward,
        leaves: Sequence[Tensor],
        sizes: Sequence[Sequence[int]],
        wanted: int,
        communicator: Communicator,
    ) -> Subsample:
        """About `wanted` of the samples, `leaves` being this rank's and `sizes` all lengths."""
        lengths = [length for rank in sizes for length in rank]
        stride = max(1, len(lengths) // _MOST_LEAVES)
        per_leaf = -(-wanted // len(lengths[::stride]))
        first = sum(len(rank) for rank in sizes[: communicator.rank])
        numbered = enumerate(leaves, start=first)
        pieces = {k: z[:per_leaf] for k, z in numbered if k % stride == 0}
        total = sum(min(per_leaf, length) for length in lengths[::stride])
        return cls(map, pieces, total, communicator)

    @property
    def directions(self) -> int:
        """Number of directions e in which the layers are seen."""
        return min(self.map.dimension, _MOST_DIRECTIONS)

    def mean(self, contribution: Contribution, like: Tensor) -> Tensor:
        """The mean of a contribution over the subsample of all ranks; `like`: its shape, zero."""
        total = TreeSum()
        chunk = self._chunk()
        for number, piece in self.pieces.items():
            signs, part = torch.Generator().manual_seed(number), like.clone()
            for z in piece.split(chunk):
                part += contribution(self._layers(z, signs))
            total.add(part)
        mine = total.total() if self.pieces else like.clone()
        return self.communicator.sum(mine).div_(self.total)

    def _chunk(self) -> int:
        """Samples whose layers are held at a time."""
        layers = layers_at(self.map)
        numbers = sum(layer.sensitivity.numel() + layer.input.numel() for layer in layers)
        return max(8, min(512, _ENTRIES // numbers))

    def _layers(self, z: Tensor, signs: torch.Generator) -> list[ParameterLayer]:
        return _layers(self.map, z, _directions(z, signs))


def axes_fit(dimension: int) -> bool:
    """Whether the directions of a subsample are the axes, all of them, not random signs."""
    return dimension <= _MOST_DIRECTIONS


def layers_at(map: PushForward) -> list[ParameterLayer]:
    """The layers at one point, for their shapes and their places in θ."""
    z = next(map.parameters()).new_zeros(1, map.dimension)
    return _layers(map, z, _directions(z, torch.Generator()))


@torch.no_grad()
def _layers(map: PushForward, z: Tensor, directions: Tensor) -> list[ParameterLayer]:
    """The layers at z in float64."""
    layers, _ = map.linearize(z).layers(directions)
    return [
        replace(layer, sensitivity=layer.sensitivity.double(), input=layer.input.double())
        for layer in layers
    ]


def _directions(z: Tensor, generator: torch.Generator) -> Tensor:
    """Directions e with Σ eeᵀ = I: the axes, or in a high dimension random signs, for which it
    holds in the mean. (n, number, d)"""
    n, d = z.shape
    if axes_fit(d):
        return torch.eye(d, dtype=z.dtype, device=z.device).repeat(n, 1, 1)
    signs = torch.randint(0, 2, (n, _MOST_DIRECTIONS, d), generator=generator)
    return ((2 * signs - 1) / _MOST_DIRECTIONS**0.5).to(z)
