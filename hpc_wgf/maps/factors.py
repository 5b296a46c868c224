"""Determinants, inverses and solutions of many matrices from one factorisation, on a GPU: there a
factorisation of small matrices costs far more than its operations."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Factors(NamedTuple):
    """P L U = A of matrices A, (…, k, k)."""

    both: Tensor
    """L and U in one, (…, k, k)."""
    pivots: Tensor
    """The row with which each was exchanged, from 1 on, (…, k)."""

    @classmethod
    def of(cls, matrices: Tensor) -> Self:
        """Those of A, (…, k, k); not a number where A is not finite."""
        both, pivots, _ = torch.linalg.lu_factor_ex(matrices)
        return cls(both, pivots)

    def volume(self) -> tuple[Tensor, Tensor]:
        """log|det A| and whether det A > 0, (…) each; see `signed_volume`."""
        diagonal = self.both.diagonal(dim1=-2, dim2=-1)
        own = torch.arange(1, diagonal.shape[-1] + 1, device=diagonal.device)
        odd = ((self.pivots != own).sum(-1) + (diagonal < 0).sum(-1)) % 2
        log_abs = diagonal.abs().log().sum(-1)
        return log_abs, (odd == 0) & (log_abs > -torch.inf)

    def inverse(self) -> Tensor:
        """A⁻¹, (…, k, k)."""
        k = self.both.shape[-1]
        eye = torch.eye(k, dtype=self.both.dtype, device=self.both.device)
        return torch.linalg.lu_solve(self.both, self.pivots, eye.expand_as(self.both))

    def solve_transposed(self, right: Tensor) -> Tensor:
        """A⁻ᵀ B, B: (…, k, m)."""
        return torch.linalg.lu_solve(self.both, self.pivots, right, adjoint=True)
