"""What a linearised map keeps for one chunk of samples, and the buffers that all chunks share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .layer import ParameterLayer

Matrices = Sequence[Tensor]
"""A packed vector of length p: the weight matrices of the layers, with the biases as last
columns."""


class Chunk(Protocol):
    """J and ∇T at the n samples of one chunk, the samples being the last axis of every array.

    Results lie in buffers that the next call for any chunk of the same `Linearizer` overwrites;
    arguments are not changed.
    """

    def fill(self, z: Tensor) -> Tensor:
        """Evaluate T at z, (d, n), and keep what the products need; returns T(z), (d, n)."""
        ...

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        """J v + ∇T dz, (d, n), of v packed as `direction` and dz, (d, n), or None for 0."""
        ...

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        """`grads` ← Jᵀu, packed, u: (d, n); returns ∇Tᵀu, (d, n), with `inputs`, else None."""
        ...

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        """The layers of θ along directions: see `Linearization.layers`."""
        ...


class Workspace:
    """Scratch buffers by name, each as large as the largest chunk of samples has needed so far."""

    def __init__(self) -> None:
        self._buffers: dict[Hashable, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Memory of all buffers, in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def take(self, name: Hashable, rows: int, samples: int, like: Tensor) -> Tensor:
        """An uninitialised matrix (rows, samples) in the buffer `name`.

        The buffer is allocated, or enlarged, where needed, with dtype and device of `like`.
        """
        held = self._buffers.get(name)
        if held is None or held.numel() < rows * samples:
            held = self._buffers[name] = like.new_empty(rows * samples)
        return held[: rows * samples].view(rows, samples)


def damp_(change: Tensor, a: Tensor) -> Tensor:
    """change ∘ (1 − a²), in place: the product with tanh'(s), a = tanh(s), in one operation."""
    return torch.ops.aten.tanh_backward.grad_input(change, a, grad_input=change)
