"""What the solvers share: how a solve ended, the check of a tolerance, the dot product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from ..errors import InputError


class Status(StrEnum):
    """How a solve ended, as the sentence the user reads."""

    CONVERGED = "The true residual is within the tolerance."
    ZERO_RIGHT_HAND_SIDE = "The right-hand side is zero, and so is the solution."
    MAX_STEPS = "The maximum number of products was reached. Raise max_steps, or rtol."
    STAGNATED = (
        "The recomputed residual no longer falls: the precision of the vectors is exhausted. "
        "Raise rtol, or use float64."
    )
    LEAST_SQUARES = (
        "The right-hand side is not in the range of the matrix: "
        "the solution is that of least squares."
    )
    VALIDATION = "The samples that were held out do not gain any more."
    NOT_FINITE = "A product or a dot product is not finite."


@dataclass(frozen=True)
class SolveStats:
    """What a solve did. Residuals are relative: ‖r‖/‖b‖ (MINRES), ‖Aᵀr‖/‖Aᵀb‖ (LSMR)."""

    status: Status
    products: int
    claimed_residual: float
    true_residual: float

    @property
    def converged(self) -> bool:
        return self.status in (Status.CONVERGED, Status.ZERO_RIGHT_HAND_SIDE, Status.VALIDATION)


class EarlyStopping:
    """Ends an iteration once a quadratic has not fallen for `patience` looks in a row.

    `quadratic`: x ↦ q(x), of data that the system was not made from: it falls while the iteration
    learns what both share, and rises when it begins to fit what is noise.
    """

    def __init__(self, quadratic: Callable[[Tensor], float], patience: int = 3) -> None:
        self._quadratic, self._patience = quadratic, patience
        self._least, self._since = 0.0, 0
        self._best: Tensor | None = None

    def update(self, x: Tensor) -> Tensor | None:
        """Look at x, (p,): None to go on, else the x of the least q seen (0 where none was below
        q(0) = 0)."""
        value = self._quadratic(x)
        if self._best is None:
            self._best = torch.zeros_like(x)
        if value < self._least:
            self._least, self._since = value, 0
            self._best.copy_(x)
        else:
            self._since += 1
        return self._best if self._since >= self._patience else None


def check_rtol(rtol: float, dtype: torch.dtype) -> None:
    """Errors: `InputError` for a tolerance below ten machine epsilons of `dtype`, or from 1 on."""
    if not rtol < 1:
        raise InputError(f"rtol is a fraction of the right-hand side, below 1: got {rtol:g}")
    floor = 10 * torch.finfo(dtype).eps
    if not rtol >= floor:
        raise InputError(
            f"rtol = {rtol:g} is below what {dtype} can resolve: give at least {floor:.1e}, "
            "or use float64"
        )


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Σ a_i b_i in float64, 0-d, on the device of a; a, b: (p,)."""
    return torch.dot(a.double(), b.double())
