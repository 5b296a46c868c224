"""Preconditioners from diagonal blocks of Ĝ, each factored by Cholesky."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..parallel import Communicator, LocalCommunicator
from .preconditioner import Preconditioner
from .sharing import shared_over_ranks

# By measurement, values from 200 to 2000 are about equally good for q/m from 0.1 to 0.3.
_NOISE = 500.0
_STEP = 16  # Blocks are filled up to a multiple of this, so that shapes change seldom.
_PADDED = 2.0  # So many times the numbers of all blocks may be stored for one product of all.


@dataclass(frozen=True)
class DiagonalBlocks:
    """Ĝ ≈ its diagonal blocks, each the mean over m rows of J.

    The fewer rows, the larger the errors of the small eigenvalues. A block of q parameters takes
    the larger shift ε(1 + 500 (q/m)²) therefore, with which it also serves at more values of θ.
    """

    matrices: Sequence[Tensor]
    """The blocks, (q, q) each, in float64."""
    indices: Sequence[Tensor]
    """The places in θ of the parameters of each block, (q,) each."""
    rows: float = math.inf
    """m; infinite for exact blocks."""
    communicator: Communicator = field(default_factory=LocalCommunicator, repr=False)
    """The ranks, among which blocks are dealt out to be factored."""

    @cached_property
    def norm(self) -> float:
        return float(torch.stack([largest_eigenvalue(matrix) for matrix in self.matrices]).max())

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """M = L Lᵀ by Cholesky factorisation, block by block.

        The shift of a block that rounding makes indefinite is raised tenfold until it can be
        factored. On CPUs every rank factors its share of the blocks, each in memory of its own, as
        the last bits that LAPACK returns depend on an address; collective.
        """
        if not self.matrices[0].is_cuda:
            return blocks_of(self._factored(shift, dtype), self.indices)
        groups = _by_size(self.matrices)
        inverses, indices = [], []
        for size, group in groups.items():
            stacked = torch.stack([self.matrices[k] for k in group])
            raised = shift * damping(size, self.rows)
            inverses.append(inverse_factors(stacked, raised, dtype))
            indices.append(torch.stack([self.indices[k] for k in group]))
        largest = -(-max(groups) // _STEP) * _STEP
        stored = sum(inverse.numel() for inverse in inverses)
        if len(self.matrices) * largest**2 <= _PADDED * stored:
            return _PaddedCholesky.of(inverses, indices, largest)
        return BlockCholesky(inverses, indices)

    def _factored(self, shift: float, dtype: torch.dtype) -> list[Tensor]:
        """L⁻¹ of every block, (q, q)."""

        def make(k: int) -> Tensor:
            matrix = self.matrices[k]
            raised = shift * damping(len(matrix), self.rows)
            return inverse_factors(matrix[None], raised, dtype)[0].double()

        shapes = [matrix.shape for matrix in self.matrices]
        return [each.to(dtype) for each in shared_over_ranks(self.communicator, shapes, make)]


@dataclass(frozen=True)
class BlockCholesky:
    """M⁻¹ = L⁻ᵀ L⁻¹ by the inverse factors of blocks, those of equal size stacked."""

    inverses: Sequence[Tensor]
    """L⁻¹ of the blocks of each size q, (number, q, q)."""
    indices: Sequence[Tensor]
    """Their places in θ, (number, q)."""

    def __call__(self, v: Tensor) -> Tensor:
        return self._apply(v, lambda rows, inverse: (rows @ inverse.mT) @ inverse)

    def solve_upper(self, v: Tensor) -> Tensor:
        return self._apply(v, lambda rows, inverse: rows @ inverse)

    def solve_lower(self, v: Tensor) -> Tensor:
        return self._apply(v, lambda rows, inverse: rows @ inverse.mT)

    def _apply(self, v: Tensor, solve: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """`solve`: of the parts of v as rows, (number, 1, q), and L⁻¹ of these blocks; products
        with a batch of columns take MKL four times as long."""
        result = torch.empty_like(v)
        for inverse, index in zip(self.inverses, self.indices, strict=True):
            places = index.view(-1)
            rows = v.index_select(0, places).view(len(index), 1, -1)
            result.index_copy_(0, places, solve(rows, inverse).view(-1))
        return result


@dataclass(frozen=True)
class _PaddedCholesky:
    """The same by one product of all blocks, for a GPU: those of fewer parameters are filled up
    with zeros."""

    inverse: Tensor
    """L⁻¹ of the blocks, (number, q, q), q the parameters of the largest."""
    source: Tensor
    """Their places in θ, (number, q); any where they are filled up."""
    target: Tensor
    """The same, but p there."""

    @classmethod
    def of(cls, inverses: Sequence[Tensor], indices: Sequence[Tensor], size: int) -> Self:
        """`inverses`, `indices`: see `BlockCholesky`. `size`: q."""
        p = sum(index.numel() for index in indices)
        wider = [
            (size - index.shape[1], i, index) for i, index in zip(inverses, indices, strict=True)
        ]
        return cls(
            torch.cat([pad(inverse, (0, more, 0, more)) for more, inverse, _ in wider]),
            torch.cat([pad(index, (0, more)) for more, _, index in wider]),
            torch.cat([pad(index, (0, more), value=p) for more, _, index in wider]),
        )

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_lower(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        return self._apply(v, self.inverse)

    def solve_lower(self, v: Tensor) -> Tensor:
        return self._apply(v, self.inverse.mT)

    def _apply(self, v: Tensor, matrices: Tensor) -> Tensor:
        result = v.new_empty(len(v) + 1)
        result[self.target] = (v[self.source][:, None, :] @ matrices)[:, 0]
        return result[:-1]


def blocks_of(inverses: Sequence[Tensor], indices: Sequence[Tensor]) -> BlockCholesky:
    """Blocks by their inverse factors L⁻¹, (q, q) each, and their places in θ, (q,) each."""
    groups = _by_size(inverses)
    return BlockCholesky(
        [torch.stack([inverses[k] for k in group]) for group in groups.values()],
        [torch.stack([indices[k] for k in group]) for group in groups.values()],
    )


def _by_size(matrices: Sequence[Tensor]) -> dict[int, list[int]]:
    """The numbers of the matrices of each size."""
    groups: dict[int, list[int]] = {}
    for k, matrix in enumerate(matrices):
        groups.setdefault(len(matrix), []).append(k)
    return groups


def damping(size: int, rows: float) -> float:
    """How many times as large a shift a block of `size` parameters takes, of a mean over so many
    rows of J."""
    return 1.0 + _NOISE * (size / rows) ** 2


def inverse_factors(matrices: Tensor, shift: float, dtype: torch.dtype) -> Tensor:
    """L⁻¹ of A + εI = L Lᵀ for every A of a stack, (number, q, q).

    It is not a number where A is not finite, which the solve then reports.
    """
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    shifts = (1e-15 * diagonal.amax(1)).clamp(min=shift)
    while True:
        shifted = matrices.clone()
        shifted.diagonal(dim1=1, dim2=2).add_(shifts[:, None])
        factors, failed = torch.linalg.cholesky_ex(shifted)
        failed = (failed > 0) & shifts.isfinite()
        if not bool(failed.any()):
            eye = torch.eye(matrices.shape[1], dtype=dtype, device=matrices.device)
            return torch.linalg.solve_triangular(factors.to(dtype), eye, upper=False)
        shifts = torch.where(failed, 10.0 * shifts, shifts)


def largest_eigenvalue(matrix: Tensor) -> Tensor:
    """The largest eigenvalue of a positive matrix by power iterations, to a few per cent, 0-d."""
    v = torch.ones(len(matrix), dtype=matrix.dtype, device=matrix.device)
    v = v + 0.1 * torch.arange(len(v), dtype=v.dtype, device=v.device).sin()
    tiny = torch.finfo(matrix.dtype).tiny  # of a matrix that is 0
    for _ in range(12):
        v = matrix @ (v / v.norm().clamp(min=tiny))
    return v.norm()
