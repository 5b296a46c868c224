"""What the solvers share: how a solve ended, early stopping, the dot product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from ..errors import InputError


class Status(StrEnum):
    """How a solve ended, as a sentence for the user."""

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
    VALIDATION = "The validation samples do not gain any more."
    NOT_FINITE = "A product or a dot product is not finite."


@dataclass(frozen=True)
class SolveStats:
    """How a solve ended, what it took, and how far it came.

    The relative residual is ‖b − (A + σI)x‖/‖b‖ in MINRES, ‖Aᵀ(b − Ax) − σx‖/‖Aᵀb‖ in LSMR.
    """

    status: Status
    """How the solve ended."""
    products: int
    """Products with A, those of checks included; in LSMR pairs of one with A and one with Aᵀ."""
    claimed_residual: float
    """The relative residual by the recurrences; in LSMR in the norm of L⁻¹, relative to its value
    at the start."""
    true_residual: float
    """The relative residual recomputed from x; it may be not a number where a product was not."""

    @property
    def converged(self) -> bool:
        """Whether x is a solution: within the tolerance, exact, or the best by early stopping."""
        return self.status in (Status.CONVERGED, Status.ZERO_RIGHT_HAND_SIDE, Status.VALIDATION)


class EarlyStopping:
    """Ends an iteration once q(x) has had no new minimum at `patience` updates in a row.

    `quadratic`: x ↦ q(x), a quadratic function with q(0) = 0, of validation data that are
    independent of those of the system. It falls while the iteration fits what both have in common,
    and rises once the iteration fits noise.
    """

    def __init__(self, quadratic: Callable[[Tensor], float], patience: int = 3) -> None:
        self._quadratic, self._patience = quadratic, patience
        self._least, self._since = 0.0, 0
        self._best: Tensor | None = None

    def update(self, x: Tensor) -> Tensor | None:
        """Evaluate q at the iterate x, (p,), which is copied where it is the best so far.

        Returns None to go on, and to end the iteration the x of the least q, which is 0 where no
        q has been below q(0) = 0. That tensor is the object's own.
        """
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
    """Check that 10 ε ≤ rtol < 1, ε being the machine epsilon of `dtype`.

    Errors: `InputError` where it is not so.
    """
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
    wide = a.double()
    return torch.dot(wide, wide if a is b else b.double())
