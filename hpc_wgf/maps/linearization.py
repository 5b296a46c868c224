"""J = ∂_θ T(z) and ∇T(z) at fixed θ and samples z, and the products J v, Jᵀu, JᵀJ v.

Here the samples of a chunk are the last axis of every array, (k, n): biases are then one more
column of a weight matrix, whose input is a row of ones, and a sum over samples is an inner product
of long contiguous rows. A vector of length p is rearranged ("packed") into such weight matrices
once for a product, whatever the number of chunks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..gpu import availability, kernels
from ..matrix_field import MatrixField
from .chunk import Chunk, Matrices, Workspace, chain_of
from .layer import ParameterLayer, samples_first

_CACHE = 1 << 31  # Bytes that the linearisations of one θ may keep on a CPU, for each rank.
_FEW = 32  # vectors whose views are kept


class _Linearizable(Protocol):
    """A map."""

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer: ...


class Linearizer(ABC):
    """A map at fixed θ, from which its linearisations at chunks of samples are made.

    It owns their buffers, and knows how vectors of length p are packed into weight matrices.
    Packing only permutes the entries, and so commutes with every sum of vectors.

    `places`: for every matrix the places of its entries in θ; None where a subclass overrides
    `direction`, `matrices` and `unpacked`. `like`: a tensor of the map's dtype and device.
    `workspace`: the buffers; None for new ones.
    """

    dimension: int
    """d."""
    like: Tensor
    """A tensor of the map's dtype and device."""
    rows: int
    """How many numbers a linearisation keeps for a sample."""
    shapes: list[tuple[int, ...]]
    """Shapes of the matrices of a packed vector."""
    sizes: list[int]
    """Numbers of entries of these matrices."""
    workspace: Workspace
    """The buffers of the products."""
    kept_bytes: int
    """Memory of all linearisations that have been kept, in bytes."""
    capturable: bool = True
    """Whether products can be recorded in a CUDA graph: they ask nothing of autograd."""

    def __init__(
        self,
        dimension: int,
        like: Tensor,
        *,
        rows: int,
        shapes: Sequence[Sequence[int]],
        places: Sequence[Tensor] | None,
        workspace: Workspace | None,
    ) -> None:
        self.dimension, self.like, self.rows = dimension, like.detach(), rows
        self.shapes = [tuple(shape) for shape in shapes]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.workspace = workspace or Workspace()
        # A key of its own: with this object for a key, it and all its buffers would form a cycle,
        # which lives on after a step until Python looks for cycles.
        self._key = object()
        self.kept_bytes = 0
        self._views: dict[int, tuple[Tensor, Matrices]] = {}
        self._budget = 0  # found with the first linearisation
        self._is_full = False  # whether memory has been refused
        if places is not None:
            self._order = like.new_empty(sum(self.sizes), dtype=torch.int64)
            for part, place in zip(self.matrices(self._order), places, strict=True):
                part.copy_(place)

    @abstractmethod
    def chunk(self, storage: Tensor) -> Chunk:
        """An empty chunk of n samples, which keeps what it needs in `storage`, (rows, n)."""

    @property
    def bytes_per_sample(self) -> int:
        """Memory of a kept linearisation for each of its samples, in bytes."""
        return self.rows * self.like.element_size()

    @torch.no_grad()
    def linearize(self, z: Tensor, *, budget: int | None = None) -> Linearization:
        """The linearisation at z, (n, d), for products with J and ∇T.

        What the products need is kept in memory if `kept_bytes` then does not exceed `budget`, and
        recomputed in every product otherwise, as also where memory is refused; the results are the
        same to the bit, so that ranks need not agree on it. The budget, in bytes, is 2 GiB by
        default, on a GPU a quarter of its memory, but at most half of what was free there when the
        first one was made.
        """
        if budget is None:
            budget = self._budget = self._budget or default_budget(self.like)
        nbytes = z.shape[0] * self.bytes_per_sample
        if not self._is_full and self.kept_bytes + nbytes <= budget:
            try:
                chunk = self.chunk(self.like.new_empty(self.rows, z.shape[0]))
                chunk.fill(z.T)
            except torch.OutOfMemoryError:  # Of GPUs alone.
                self._is_full = True
            else:
                self.kept_bytes += nbytes
                return Linearization(self, chunk, None, nbytes=nbytes)
        chunk = self.chunk(self.buffer("storage", self.rows, z.shape[0]))
        return Linearization(self, chunk, z, nbytes=0)

    @torch.no_grad()
    def refill(self, map: _Linearizable) -> None:
        """Take over the present parameters of a map of the same build, at the same addresses; then
        every linearisation is to be refilled, too."""
        self._take(map.linearizer(Workspace()))

    def _take(self, other: Linearizer) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(value, Tensor) and value.is_floating_point():
                mine.copy_(value)
            elif isinstance(value, list):
                _take_all(mine, value)

    def direction(self, v: Tensor) -> Matrices:
        """v, (p,), packed for products with J; it may hold further columns that they need."""
        return self.matrices(v.index_select(0, self._order))

    def packed(self) -> Tensor:
        """An uninitialised vector of p entries in packed order."""
        return self.like.new_empty(sum(self.sizes))

    def matrices(self, packed: Tensor) -> Matrices:
        """The matrices of a packed vector, as views of it.

        Those with more rows than columns are stored column by column, since a product g aᵀ is
        formed faster with the operand of fewer rows first.
        """
        return [
            part.view(h, k) if h <= k else part.view(k, h).T
            for part, (h, k) in zip(packed.split_with_sizes(self.sizes), self.shapes, strict=True)
        ]

    def views(self, packed: Tensor) -> Matrices:
        """`matrices` of one of the few buffers that serve product after product, made once."""
        found = self._views.get(id(packed))
        if found is None:
            if len(self._views) >= _FEW:
                self._views.clear()
            # With the buffer itself, as another one may come to its place.
            found = self._views[id(packed)] = packed, self.matrices(packed)
        return found[1]

    def unpacked(self, packed: Tensor) -> Tensor:
        """A packed vector in the order of θ, (p,), as a copy."""
        return torch.empty_like(packed).index_copy_(0, self._order, packed)

    def buffer(self, name: str, rows: int, samples: int) -> Tensor:
        """An uninitialised buffer (rows, samples), which the chunks of this map alone use."""
        return self.workspace.take((self._key, name), rows, samples, self.like)

    def shared_buffer(self, turn: int, rows: int, samples: int) -> Tensor:
        """One of two uninitialised buffers (rows, samples) that all parts of a composition share.

        `turn`: even numbers name one of them, odd numbers the other.
        """
        return self.workspace.take(turn % 2, rows, samples, self.like)


class Linearization:
    """J = ∂_θ T(z) and ∇T(z) at fixed θ and n samples z, as products with vectors."""

    linearizer: Linearizer
    """The map at θ, from which this linearisation was made."""
    nbytes: int
    """Memory of what is kept for the products; 0 where it is recomputed in each of them."""

    def __init__(
        self, linearizer: Linearizer, chunk: Chunk, z: Tensor | None, *, nbytes: int
    ) -> None:
        self.linearizer, self.nbytes = linearizer, nbytes
        self._chunk, self._z = chunk, z

    @torch.no_grad()
    def refill(self, z: Tensor) -> None:
        """The linearisation at other samples, (n, d), and at what `linearizer` holds now, at the
        same addresses."""
        if self._z is None:
            self._chunk.fill(z.T)
        else:
            self._z.copy_(z)

    def _filled(self) -> Chunk:
        if self._z is not None:
            self._chunk.fill(self._z.T)
        return self._chunk

    @torch.no_grad()
    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        """J v + ∇T dz, (n, d); v: (p,), dz: (n, d), or None for 0."""
        direction = self.linearizer.direction(v)
        return samples_first(self._filled().push(direction, None if dz is None else dz.T))

    @torch.no_grad()
    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        """Jᵀu, (p,), summed over the samples, and with `inputs` ∇Tᵀu, (n, d); u: (n, d)."""
        packed = self.linearizer.packed()
        back = self._filled().pull(u.T, self.linearizer.matrices(packed), inputs=inputs)
        return self.linearizer.unpacked(packed), None if back is None else samples_first(back)

    def gram(self, direction: Matrices, packed: Tensor, weights: MatrixField | None = None) -> None:
        """`packed` ← JᵀW(J v), packed, for `direction` = `linearizer.direction(v)`; `weights`: W, a
        number or a matrix for every sample, by default I. To be called without autograd, which one
        switch turns off for all chunks of a product.

        No memory is allocated whose size grows with the number of samples, but where modules and
        gates are computed anew, and for matrices.
        """
        chunk, grads = self._filled(), self.linearizer.views(packed)
        if availability.usable(packed.device) and (weights is None or weights.values.ndim == 1):
            chain = chain_of(chunk)
            if chain is not None and chain.fits(self.linearizer.dimension):
                numbers = None if weights is None else weights.values
                kernels.gram(chain, direction, packed, grads, numbers)
                return
        moved = chunk.push(direction, None)
        if weights is not None:
            weights.act_on_columns(moved)
        chunk.pull(moved, grads, inputs=False)

    @torch.no_grad()
    def layers(
        self, directions: Tensor, *, inputs: bool = True
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """eᵀJ by layers of θ, and with `inputs` eᵀ∇T, for several directions e of ℝᵈ at every
        sample.

        `directions`: (n, number of directions, d); eᵀ∇T has the same shape.
        """
        return self._filled().layers(directions, inputs=inputs)


def _take_all(mine: list[object], others: list[object]) -> None:
    for held, new in zip(mine, others, strict=True):
        if isinstance(held, Linearizer) and isinstance(new, Linearizer):
            held._take(new)
        elif isinstance(held, Tensor) and isinstance(new, Tensor) and new.is_floating_point():
            held.copy_(new)


def default_budget(like: Tensor) -> int:
    """Bytes that the linearisations of one θ may keep on the device of `like`, for each rank."""
    if not like.is_cuda:
        return budget_on(None)
    free, total = torch.cuda.mem_get_info(like.device)
    # What torch has taken from the GPU and does not use is free as well.
    reserved, used = (
        of(like.device) for of in (torch.cuda.memory_reserved, torch.cuda.memory_allocated)
    )
    return min(budget_on(total), (free + reserved - used) // 2)


def budget_on(gpu_memory: int | None) -> int:
    """Bytes that the linearisations of one θ may keep, for each rank.

    `gpu_memory`: the memory of the GPU in bytes, of which it is a quarter; None for a CPU, 2 GiB.
    """
    return _CACHE if gpu_memory is None else gpu_memory // 4
