"""A matrix at every sample of a chunk, as the mobility is one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class MatrixField:
    """Matrices Mᵢ, one for each of n samples: of shape (n,) for multiples of I, (n, d) for
    diagonals, (1, d, d) for one that is the same at all samples, or (n, d, d)."""

    values: Tensor
    """The matrices, in one of these shapes."""

    def times(self, v: Tensor) -> Tensor:
        """Mᵢvᵢ for v, (n, d)."""
        if self.values.ndim < 3:
            return self._along(v) * v
        if len(self.values) == 1:
            return v @ self.values[0].T
        return (self.values @ v[:, :, None])[:, :, 0]

    @property
    def transposed(self) -> MatrixField:
        """Mᵢᵀ."""
        return self if self.values.ndim < 3 else MatrixField(self.values.mT)

    def rows_times(self, rows: Tensor) -> Tensor:
        """eᵀMᵢ for several rows eᵀ at every sample, (n, number of rows, d)."""
        return rows @ self.values if self.values.ndim == 3 else rows * self._along(rows)

    def act_on_columns(self, v: Tensor) -> None:
        """v ← Mᵢvᵢ in place, for v whose samples are the columns, (d, n)."""
        if self.values.ndim == 1:
            v.mul_(self.values)
        elif self.values.ndim == 2:
            v.mul_(self.values.T)
        elif len(self.values) == 1:
            v.copy_(self.values[0] @ v)
        else:
            v.copy_(torch.einsum("nij,jn->in", self.values, v))

    def scaled(self, factors: Tensor) -> MatrixField:
        """cᵢMᵢ for factors c, (n,)."""
        return MatrixField(factors.view(-1, *[1] * (self.values.ndim - 1)) * self.values)

    def first(self, count: int) -> MatrixField:
        """The matrices of the first samples."""
        return MatrixField(self.values[:count])

    @cached_property
    def inverse_factors(self) -> tuple[MatrixField, MatrixField]:
        """Rᵢ and Mᵢ⁻¹ = RᵢᵀRᵢ; not-a-number where Mᵢ is not symmetric positive definite. Factored
        once, as chunks share a field that is the same at all samples."""
        if self.values.ndim < 3:
            inverse = torch.where(self.values > 0, 1 / self.values, torch.nan)
            return MatrixField(inverse.sqrt()), MatrixField(inverse)
        factors, failed = torch.linalg.cholesky_ex(self.values)
        eye = torch.eye(factors.shape[-1], dtype=factors.dtype, device=factors.device)
        root = torch.linalg.solve_triangular(factors, eye.expand_as(factors), upper=False)
        root = torch.where((failed > 0)[:, None, None], torch.nan, root)
        return MatrixField(root), MatrixField(root).gram()

    def gram(self) -> MatrixField:
        """MᵢᵀMᵢ."""
        if self.values.ndim < 3:
            return MatrixField(self.values.square())
        return MatrixField(self.values.mT @ self.values)

    def dense(self, count: int, dimension: int) -> Tensor:
        """The matrices written out, (count, d, d)."""
        if self.values.ndim == 3:
            return self.values.expand(count, dimension, dimension)
        diagonal = self.values if self.values.ndim == 2 else self.values[:, None]
        return torch.diag_embed(diagonal.expand(count, dimension))

    def split(self, size: int, count: int) -> list[MatrixField]:
        """The matrices of `count` samples in pieces of `size` samples, the last of the rest."""
        if len(self.values) == 1:
            return [self] * len(range(0, count, size))
        return [MatrixField(part) for part in self.values.split(size)]

    @classmethod
    def identity(cls, x: Tensor) -> Self:
        """I at samples x, (n, d)."""
        return cls(torch.ones_like(x[:, 0]))

    def _along(self, v: Tensor) -> Tensor:
        """Numbers or diagonals in as many dimensions as v, (n, …, d), has."""
        if self.values.ndim == 1:
            return self.values.view(-1, *[1] * (v.ndim - 1))
        return self.values.view(len(self.values), *[1] * (v.ndim - 2), -1)
