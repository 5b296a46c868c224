"""What a Krylov solver asks of a matrix, and of a preconditioner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class LinearOperator(Protocol):
    """A symmetric matrix A known by its products."""

    def matvec(self, v: Tensor) -> Tensor:
        """A v, (p,) → (p,), in a tensor of its own."""
        ...


class LeastSquaresOperator(Protocol):
    """A matrix A of many rows, known by its products.

    A tensor of rows may have any shape, and its rows may lie on several processes, of which only
    this class knows; vectors of length p are the same on all of them.
    """

    def matvec(self, v: Tensor) -> Tensor:
        """A v, (p,) → rows, in a tensor of its own."""
        ...

    def rmatvec(self, u: Tensor) -> Tensor:
        """Aᵀ u, rows → (p,), summed over all rows, in a tensor of its own."""
        ...

    def norm(self, u: Tensor) -> Tensor:
        """‖u‖ over all rows, 0-d, in float64 and on the device of the vectors."""
        ...


class SplitPreconditioner(Protocol):
    """M = L Lᵀ ≈ AᵀA + σI, given by the inverses of its factors; arguments stay as they are."""

    def solve_upper(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, (p,) → (p,)."""
        ...

    def solve_lower(self, v: Tensor) -> Tensor:
        """L⁻¹ v, (p,) → (p,)."""
        ...


@dataclass(frozen=True)
class DenseOperator:
    """A symmetric matrix given in full, (p, p)."""

    matrix: Tensor

    def matvec(self, v: Tensor) -> Tensor:
        return self.matrix @ v
