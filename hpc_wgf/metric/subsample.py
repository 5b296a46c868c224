"""The samples from which a preconditioner of Ĝ is made, whose number does not grow with n."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..maps import Linearizer, ParameterLayer, PushForward
from ..matrix_field import MatrixField
from ..parallel import Communicator, LocalCommunicator, TreeBuffers

_CHUNKS = 4  # Few chunks give samples, so that each gives enough for large matrix products,
_OF_CHUNK = 512  # and more only where they give more than so many each.
_MOST_DIRECTIONS = 64  # In higher dimensions, so many random signs take the place of the axes.
_TOGETHER = 1024  # Samples whose layers are held at a time, if they are not too many numbers:
_ENTRIES = 1 << 22  # so many, which bounds the memory.

# Adds to a tensor, in place, the sum over samples of what layers along directions contribute.
Contribution = Callable[[Tensor, list[ParameterLayer]], None]
Contributions = Callable[[list[Tensor], list[ParameterLayer]], None]  # to several


@dataclass(frozen=True)
class Subsample:
    """m of the n samples of all ranks, with their weights: the first ones of some of their chunks.

    Means are summed along the binary tree of all chunks, so that 1, 2, 4, … ranks give the same
    bits.
    """

    map: PushForward
    """The map, at the parameters for which Ĝ is approximated."""
    pieces: Mapping[int, Tensor]
    """This rank's samples, (m_chunk, d) for each chunk, by the chunk's number among all ranks."""
    lengths: Sequence[int]
    """How many samples each piece has, of all ranks."""
    communicator: Communicator
    """The ranks."""
    roots: Mapping[int, MatrixField] = field(default_factory=dict)
    """√w R for each chunk that has any: w the samples' importance weights, RᵀR = P⁻¹ the inverse of
    the mobility."""
    stride: int = 1
    """Every so many chunks one gives a piece."""
    weighted: bool = False
    """Whether samples of any rank have such roots."""

    @classmethod
    def of(
        cls,
        map: PushForward,
        chunks: Sequence[Tensor],
        sizes: Sequence[Sequence[int]],
        wanted: int,
        communicator: Communicator,
        weights: Sequence[Tensor | None] | None = None,
        roots: Sequence[MatrixField] | None = None,
    ) -> Subsample:
        """About `wanted` samples.

        `chunks`: this rank's samples, (n_chunk, d) each. `sizes`: the lengths of the chunks of
        every rank. `weights`: importance weights of the samples of every chunk, (n_chunk,), or None
        where they are 1. `roots`: R of every chunk; None for I.
        """
        lengths = [length for rank in sizes for length in rank]
        # Their number is a power of two, for one tree of sums on any number of ranks.
        giving = max(_CHUNKS, 1 << (-(-wanted // _OF_CHUNK) - 1).bit_length())
        stride = max(1, len(lengths) // giving)
        per_chunk = -(-wanted // len(lengths[::stride]))
        first = sum(len(rank) for rank in sizes[: communicator.rank])
        numbered = enumerate(chunks, start=first)
        pieces = {k: z[:per_chunk] for k, z in numbered if k % stride == 0}
        taken = [min(per_chunk, length) for length in lengths[::stride]]
        own = {
            k: root
            for k, z in pieces.items()
            if (root := _root(k - first, len(z), weights, roots)) is not None
        }
        weighted = roots is not None or any(each is not None for each in weights or ())
        return cls(map, pieces, taken, communicator, own, stride, weighted)

    @property
    def layers(self) -> list[ParameterLayer]:
        """The layers of the map at one sample, as of `layers_at`."""
        return layers_at(self.map)

    @property
    def total(self) -> int:
        """m, the samples of all ranks."""
        return sum(self.lengths)

    @property
    def directions(self) -> int:
        """For how many directions e, with Σ eeᵀ = I, `mean` evaluates eᵀJ at each sample."""
        return min(self.map.dimension, _MOST_DIRECTIONS)

    def mean(
        self, add: Contribution, shape: Sequence[int], *, probes: int | None = None,
        along: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The mean of a contribution over the subsample of all ranks, of `shape` in float64.

        `add`: adds to a tensor of this shape the sum over the samples of some layers. `probes`: so
        many directions of random signs for each sample, in place of `directions` axes; `along`:
        these, (number, d), at every sample. Collective.
        """
        random = self.directions if probes is None else probes
        chunk = self._chunk(random if along is None else len(along))
        device = self.communicator.device
        sums = TreeBuffers(lambda: torch.empty(*shape, dtype=torch.float64, device=device))
        linearizer = self.map.linearizer()
        for number, piece in self.pieces.items():
            signs, part = torch.Generator().manual_seed(number), sums.next().zero_()
            parts, roots = piece.split(chunk), self.roots.get(number)
            fields = [None] * len(parts) if roots is None else roots.split(chunk, len(piece))
            for z, root in zip(parts, fields, strict=True):
                if along is not None:
                    directions = along.to(z).expand(len(z), *along.shape)
                else:
                    axes = probes is None
                    directions = _directions(z, signs) if axes else _signs(z, random, signs)
                if root is not None:
                    # Layers are linear in the directions, and what is averaged quadratic in them.
                    directions = root.rows_times(directions)
                layers = _layers(linearizer, z, directions)
                if root is None and along is None and probes is None and axes_fit(z.shape[1]):
                    layers = [_on_axes(layer, directions) for layer in layers]
                add(part, layers)
            sums.add()
        mine = sums.total() if self.pieces else sums.next().zero_()
        return self.communicator.sum(mine).div_(self.total)

    def means(
        self, add: Contributions, shapes: Sequence[Sequence[int]], *, probes: int | None = None,
        along: Tensor | None = None,
    ) -> list[Tensor]:  # fmt: skip
        """`mean` of several tensors, of `shapes`, by one sum over the ranks."""
        sizes = [math.prod(shape) for shape in shapes]

        def views(flat: Tensor) -> list[Tensor]:
            return [
                part.view(*shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)
            ]

        def add_all(total: Tensor, layers: list[ParameterLayer]) -> None:
            add(views(total), layers)

        return views(self.mean(add_all, [sum(sizes)], probes=probes, along=along))

    def on_all(self) -> Subsample:
        """The same samples, all of them on every rank, of which no sums are taken over ranks any
        more; collective, one all-reduce of m d numbers. For samples without roots."""
        like = next(self.map.parameters())
        if self.communicator.size == 1:
            return replace(self, communicator=LocalCommunicator(like.device))
        told = like.new_zeros(self.total, self.map.dimension)
        parts = dict(zip(count(0, self.stride), told.split(list(self.lengths)), strict=False))
        for number, piece in self.pieces.items():
            parts[number].copy_(piece)
        self.communicator.sum(told)
        # In memory of their own: products may depend on where in a larger tensor samples begin.
        pieces = {number: part.clone() for number, part in parts.items()}
        return replace(self, pieces=pieces, communicator=LocalCommunicator(like.device))

    def fewer(self, wanted: int) -> Subsample:
        """The first samples of every piece, about `wanted` of all ranks together."""
        share = min(1.0, wanted / self.total)
        lengths = [max(1, round(share * length)) for length in self.lengths]
        pieces = {k: z[: max(1, round(share * len(z)))] for k, z in self.pieces.items()}
        roots = {k: root.first(len(pieces[k])) for k, root in self.roots.items()}
        return replace(self, pieces=pieces, lengths=lengths, roots=roots)

    def _chunk(self, directions: int) -> int:
        """How many samples' layers are held at a time."""
        layers = self.layers
        outputs = sum(layer.sensitivity.shape[2] for layer in layers)
        inputs = sum(layer.input.shape[1] for layer in layers)
        return max(8, min(_TOGETHER, _ENTRIES // (directions * outputs + inputs)))


def _root(
    chunk: int, count: int, weights: Sequence[Tensor | None] | None,
    roots: Sequence[MatrixField] | None,
) -> MatrixField | None:  # fmt: skip
    """√w R of the first samples of a chunk of this rank; None where it is I."""
    weight = None if weights is None else weights[chunk]
    share = None if weight is None else weight[:count].sqrt()
    if roots is None:
        return None if share is None else MatrixField(share)
    root = roots[chunk].first(count)
    return root if share is None else root.scaled(share)


def axes_fit(dimension: int) -> bool:
    """Whether the directions of a subsample are all d axes, rather than random signs."""
    return dimension <= _MOST_DIRECTIONS


# What `layers_at` has found: shapes and places do not depend on θ.
_KNOWN: WeakKeyDictionary[PushForward, list[ParameterLayer]] = WeakKeyDictionary()


def layers_at(map: PushForward) -> list[ParameterLayer]:
    """The layers of a map at one sample, for their shapes and places in θ."""
    z = next(map.parameters()).new_zeros(1, map.dimension)
    known = _KNOWN.get(map)
    if known is None or any(
        (each.input.dtype, each.input.device) != (z.dtype, z.device) for each in known
    ):
        known = _layers(map.linearizer(), z, _directions(z, torch.Generator()))
        _KNOWN[map] = known
    return known


@torch.no_grad()
def _layers(linearizer: Linearizer, z: Tensor, directions: Tensor) -> list[ParameterLayer]:
    """No budget: as they are used once, what they were found from need not be kept."""
    return linearizer.linearize(z, budget=0).layers(directions, inputs=False)[0]


def _on_axes(layer: ParameterLayer, axes: Tensor) -> ParameterLayer:
    """With the knowledge that its sensitivity is that of the `axes`, where it is that very
    tensor."""
    return replace(layer, on_axes=True) if layer.sensitivity is axes else layer


def _directions(z: Tensor, generator: torch.Generator) -> Tensor:
    """The axes, or in a high dimension random signs, (n, number, d)."""
    n, d = z.shape
    if axes_fit(d):
        return torch.eye(d, dtype=z.dtype, device=z.device).repeat(n, 1, 1)
    return _signs(z, _MOST_DIRECTIONS, generator)


def _signs(z: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Directions e of random signs with Σ eeᵀ = I in the mean, (n, number, d)."""
    n, d = z.shape
    signs = torch.randint(0, 2, (n, number, d), generator=generator)
    return ((2 * signs - 1) / number**0.5).to(z)
