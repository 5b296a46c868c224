"""Preconditioners M ≈ Ĝ + εI of the shifted metric, factored as M = L Lᵀ in float64.

M⁻¹ v is L⁻ᵀ(L⁻¹ v) with the same rounded factor twice, so that it is symmetric and positive
definite in any precision.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Preconditioner(Protocol):
    """M⁻¹ = L⁻ᵀ L⁻¹ of a symmetric positive definite M = L Lᵀ, (p, p), as products with vectors,
    the same on every rank; collective where blocks of M stay with one rank each."""

    def __call__(self, v: Tensor) -> Tensor:
        """M⁻¹ v, (p,) → (p,)."""
        ...

    def solve_upper(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, (p,) → (p,)."""
        ...

    def solve_lower(self, v: Tensor) -> Tensor:
        """L⁻¹ v, (p,) → (p,)."""
        ...


class GramModel(Protocol):
    """An approximation of Ĝ, from which preconditioners of Ĝ + εI are made for any ε."""

    @property
    def norm(self) -> float:
        """‖Ĝ‖, the largest eigenvalue of the approximation."""
        ...

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """The preconditioner of Ĝ + εI, ε = `shift`, for vectors of `dtype`."""
        ...
