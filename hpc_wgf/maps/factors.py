"""Determinants, inverses and solutions of many matrices from one factorisation, on a GPU: there a
factorisation of small matrices costs far more than its operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """The LU factors of matrices A, (…, k, k), or of Aᵀ."""

    both: Tensor
    """L and U in one, (…, k, k)."""
    pivots: Tensor
    """The row with which each was exchanged, from 1 on, (…, k)."""
    log_abs: Tensor
    """log|det A|, (…)."""
    positive: Tensor
    """Whether det A > 0, (…); see `signed_volume`."""
    turned: bool
    """Whether they are those of Aᵀ."""

    @classmethod
    def of(cls, matrices: Tensor) -> Self:
        """Those of A, (…, k, k); not a number where A is not finite."""
        sign, log_abs, both, pivots = torch.ops.aten._linalg_slogdet(matrices)
        # What is factored of matrices stored by rows is the transpose, which is stored by columns.
        return cls(both, pivots, log_abs, sign > 0, matrices.is_contiguous())

    def inverse(self) -> Tensor:
        """A⁻¹, (…, k, k)."""
        k = self.both.shape[-1]
        eye = torch.eye(k, dtype=self.both.dtype, device=self.both.device)
        return self._solve(eye.expand_as(self.both), transposed=False)

    def solve_transposed(self, right: Tensor) -> Tensor:
        """A⁻ᵀ B, B: (…, k, m)."""
        return self._solve(right, transposed=True)

    def _solve(self, right: Tensor, *, transposed: bool) -> Tensor:
        adjoint = transposed != self.turned
        return torch.linalg.lu_solve(self.both, self.pivots, right, adjoint=adjoint)
