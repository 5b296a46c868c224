"""What a linearised map keeps for one chunk of samples, and the buffers that all chunks share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..gpu import LinearizedChain, availability, kernels
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

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
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


def chain_of(chunk: Chunk) -> LinearizedChain | None:
    """What a fused product of a chunk needs, from its method `chain`; None where it has none."""
    own = getattr(chunk, "chain", None)
    chain: LinearizedChain | None = None if own is None else own()
    return chain


_TOGETHER = 1024  # samples whose products are summed first, on a GPU without Triton
_MANY_ENTRIES = 128 * 128  # of a result whose tiles keep a GPU busy


def sum_over_samples(a: Tensor, b: Tensor, out: Tensor) -> None:
    """`out` ← a bᵀ for a: (h, n) and b: (k, n), few rows of many samples. On a GPU the samples are
    cut into parts: a library would give all of them to the few tiles of the result."""
    n = a.shape[1]
    if _suits_a_library(a, b):
        torch.mm(a, b.T, out=out)
    elif availability.usable(a.device):
        kernels.sum_of_products(a, b, out)
    else:
        whole = n - n % _TOGETHER
        left, right = (
            each[:, :whole].unflatten(1, (-1, _TOGETHER)).transpose(0, 1) for each in (a, b)
        )
        rest = torch.mm(a[:, whole:], b[:, whole:].T)
        torch.add(torch.bmm(left, right.mT).sum(0), rest, out=out)


def _suits_a_library(a: Tensor, b: Tensor) -> bool:
    """Whether a library's product does as well: of few samples, and of many rows, whose tiles keep
    a GPU busy."""
    return not a.is_cuda or a.shape[1] < 2 * _TOGETHER or len(a) * len(b) > _MANY_ENTRIES
