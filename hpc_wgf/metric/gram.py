"""Ĝ v = (1/n) Jᵀ(J v) over the samples of all ranks [PWGF (3.17)]."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..maps import Linearization
from ..parallel import Communicator


@dataclass(frozen=True)
class GramOperator:
    """Ĝ without its matrix: a product is local J v, local Jᵀ(J v), one all-reduce of p numbers.

    `total`: n, the samples of all ranks together.
    """

    jacobian: Linearization
    total: int
    communicator: Communicator

    def matvec(self, v: Tensor) -> Tensor:
        Jv = self.jacobian.jvp(v)
        JtJv, _ = self.jacobian.vjp(Jv.div_(self.total))
        return self.communicator.sum(JtJv)

    def square_norm(self, v: Tensor) -> float:
        """vᵀĜv = E|J v|²: the mean squared movement of the samples; one all-reduce of a number."""
        moved = self.jacobian.jvp(v).double().square().sum()
        return float(self.communicator.sum(moved)) / self.total
