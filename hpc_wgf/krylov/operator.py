"""What a Krylov solver asks of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class LinearOperator(Protocol):
    """A symmetric matrix A known by its products."""

    def matvec(self, v: Tensor) -> Tensor:
        """A v, (p,) → (p,), in a tensor of its own."""
        ...


@dataclass(frozen=True)
class DenseOperator:
    """A symmetric matrix given in full, (p, p)."""

    matrix: Tensor

    def matvec(self, v: Tensor) -> Tensor:
        return self.matrix @ v
