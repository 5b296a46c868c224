"""What Krylov solvers need of a matrix and of a preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Preconditioner = Callable[[Tensor], Tensor]
"""v ↦ M⁻¹v, (p,) → (p,), symmetric positive definite; v stays."""


class LinearOperator(Protocol):
    """A symmetric matrix A, (p, p), given by its products with vectors."""

    def matvec(self, v: Tensor) -> Tensor:
        """A v, (p,) → (p,), in a tensor that the caller may change."""
        ...


class LeastSquaresOperator(Protocol):
    """A matrix A of p columns and any number of rows, given by its products with vectors.

    A vector of rows is a tensor of any shape, and may be distributed over several processes, of
    which the solver need not know; vectors of length p are the same on all of them.
    """

    def matvec(self, v: Tensor) -> Tensor:
        """A v, (p,) → rows, in a tensor that the caller may change."""
        ...

    def rmatvec(self, u: Tensor) -> Tensor:
        """Aᵀ u, rows → (p,), summed over all processes, in a tensor that the caller may change."""
        ...

    def norm(self, u: Tensor) -> Tensor:
        """‖u‖ over the rows of all processes, 0-d in float64, on the device of the vectors."""
        ...


class SplitPreconditioner(Protocol):
    """M = L Lᵀ ≈ AᵀA + σI, given by solves with its factors; they do not change their arguments."""

    def solve_upper(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, (p,) → (p,)."""
        ...

    def solve_lower(self, v: Tensor) -> Tensor:
        """L⁻¹ v, (p,) → (p,)."""
        ...


@dataclass(frozen=True)
class DenseOperator:
    """A symmetric matrix A given by its entries."""

    matrix: Tensor
    """A, (p, p)."""

    def matvec(self, v: Tensor) -> Tensor:
        return self.matrix @ v
