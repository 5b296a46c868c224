"""J = ∂_θ T(z) and ∇T(z) at fixed θ and z, and the products J v, Jᵀu, JᵀJ v.

Inside, samples lie in the last axis, (k, n): a row of ones then carries the biases, any number of
rows is one operand of a matrix product, and Σ over the samples is an inner product of long rows.
θ-vectors are packed into the matrices of that form, once a product for all groups of samples.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .layer import ParameterLayer, samples_first

Matrices = Sequence[Tensor]

_CACHE = 1 << 31  # bytes that the linearisations of one θ keep on a CPU, per rank


class Chunk(Protocol):
    """J at one group of samples. What a method returns lies in buffers that the next call, of any
    chunk of the same `Linearizer`, writes over; arguments stay as they are."""

    def fill(self, z: Tensor) -> Tensor:
        """Keep at z, (d, n), what the products need; T(z), (d, n)."""
        ...

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        """J v + ∇T dz, (d, n); dz: (d, n)."""
        ...

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        """`grads` ← Jᵀu, packed; with `inputs` ∇Tᵀu, (d, n); u: (d, n)."""
        ...

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        """See `Linearization.layers`."""
        ...


class Workspace:
    """Buffers by name, each as long as the largest group of samples needs."""

    def __init__(self) -> None:
        self._buffers: dict[Hashable, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Memory of all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def take(self, name: Hashable, rows: int, samples: int, like: Tensor) -> Tensor:
        """(rows, samples), not initialised, in the buffer of that name."""
        held = self._buffers.get(name)
        if held is None or held.numel() < rows * samples:
            held = self._buffers[name] = like.new_empty(rows * samples)
        return held[: rows * samples].view(rows, samples)


class Linearizer(ABC):
    """θ held fixed: what its linearisations at several groups of samples share.

    `dimension`: d. `rows`: numbers kept for a sample. `shapes`: of the matrices of a packed
    θ-vector, one after another. `places`: where their entries stand in θ; None where a subclass
    packs. Packing only changes the order, so that it may come before or after any sum.
    """

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
        self.kept_bytes = 0
        if places is not None:
            self._order = like.new_empty(sum(self.sizes), dtype=torch.int64)
            for part, place in zip(self.matrices(self._order), places, strict=True):
                part.copy_(place)

    @abstractmethod
    def chunk(self, storage: Tensor) -> Chunk:
        """A chunk that keeps what it needs in `storage`, (rows, n)."""

    @property
    def bytes_per_sample(self) -> int:
        """Memory that a kept linearisation takes for a sample."""
        return self.rows * self.like.element_size()

    @torch.no_grad()
    def linearize(self, z: Tensor, *, budget: int | None = None) -> Linearization:
        """The linearisation at z, (n, d): kept while all that this object keeps takes `budget`
        bytes at most, recomputed in every product otherwise, with the same results to the bit.

        The budget is 2 GiB by default, on a GPU a quarter of its memory.
        """
        n = z.shape[0]
        nbytes = n * self.bytes_per_sample
        if self.kept_bytes + nbytes > (default_budget(self.like) if budget is None else budget):
            chunk = self.chunk(self.buffer("storage", self.rows, n))
            return Linearization(self, chunk, z, nbytes=0)
        chunk = self.chunk(self.like.new_empty(self.rows, n))
        chunk.fill(z.T)
        self.kept_bytes += nbytes
        return Linearization(self, chunk, None, nbytes=nbytes)

    def direction(self, v: Tensor) -> Matrices:
        """What products with v, (p,), need of it: its matrices."""
        return self.matrices(v.index_select(0, self._order))

    def packed(self) -> Tensor:
        """A packed θ-vector, not initialised."""
        return self.like.new_empty(sum(self.sizes))

    def matrices(self, packed: Tensor) -> Matrices:
        """The matrices of a packed θ-vector, as views; high ones lie there column by column, since
        g aᵀ is formed faster with the operand of fewer rows first."""
        return [
            part.view(h, k) if h <= k else part.view(k, h).T
            for part, (h, k) in zip(packed.split(self.sizes), self.shapes, strict=True)
        ]

    def unpacked(self, packed: Tensor) -> Tensor:
        """The θ-vector, (p,), in a tensor of its own."""
        return torch.empty_like(packed).index_copy_(0, self._order, packed)

    def buffer(self, name: str, rows: int, samples: int) -> Tensor:
        """(rows, samples), for this map's chunks alone."""
        return self.workspace.take((self, name), rows, samples, self.like)

    def shared_buffer(self, turn: int, rows: int, samples: int) -> Tensor:
        """One of two, (rows, samples), that the parts of a composition share."""
        return self.workspace.take(turn % 2, rows, samples, self.like)


class Linearization:
    """J = ∂_θ T(z) and ∇T(z) at fixed θ and z. `nbytes`: the memory in which it is kept; 0 where
    it is recomputed in each product."""

    def __init__(
        self, linearizer: Linearizer, chunk: Chunk, z: Tensor | None, *, nbytes: int
    ) -> None:
        self.linearizer, self.nbytes = linearizer, nbytes
        self._chunk, self._z = chunk, z

    def _filled(self) -> Chunk:
        if self._z is not None:
            self._chunk.fill(self._z.T)
        return self._chunk

    @torch.no_grad()
    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        """J v + ∇T dz: (p,), (n, d) → (n, d)."""
        direction = self.linearizer.direction(v)
        return samples_first(self._filled().push(direction, None if dz is None else dz.T))

    @torch.no_grad()
    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        """Jᵀ u: (n, d) → (p,), summed over the samples; with `inputs` also ∇Tᵀ u, (n, d)."""
        packed = self.linearizer.packed()
        back = self._filled().pull(u.T, self.linearizer.matrices(packed), inputs=inputs)
        return self.linearizer.unpacked(packed), None if back is None else samples_first(back)

    @torch.no_grad()
    def gram(self, direction: Matrices, packed: Tensor) -> None:
        """`packed` ← Jᵀ(J v), `direction` being the linearizer's of v. Allocates nothing of the
        length of the samples."""
        chunk = self._filled()
        chunk.pull(chunk.push(direction, None), self.linearizer.matrices(packed), inputs=False)

    @torch.no_grad()
    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        """The layers of θ, seen by `directions` e, (n, number, d); and eᵀ∇T, of the same shape."""
        return self._filled().layers(directions)


def damp_(change: Tensor, a: Tensor) -> Tensor:
    """change ∘ (1 − a²), in place: the slope of a = tanh(s) without a copy of it in memory."""
    return torch.ops.aten.tanh_backward.grad_input(change, a, grad_input=change)


def default_budget(like: Tensor) -> int:
    """Bytes that the linearisations of one θ may keep, per rank."""
    if not like.is_cuda:
        return budget_on(None)
    return budget_on(torch.cuda.get_device_properties(like.device).total_memory)


def budget_on(gpu_memory: int | None) -> int:
    """The same on a GPU of so many bytes, or on a CPU."""
    return _CACHE if gpu_memory is None else gpu_memory // 4
