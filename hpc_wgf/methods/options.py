"""How PWGF is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch

from ..errors import InputError
from ..integrators import TABLEAUX, Controller, FixedStep, PIController
from ..krylov import check_rtol


class Form(StrEnum):
    """`force`: ∇F = Jᵀf/n. `energy`: ∇F differentiates the sample mean of the energy; the two
    agree only in expectation, and only the first is in the range of Ĝ."""

    FORCE = "force"
    ENERGY = "energy"


@dataclass(frozen=True)
class PWGFOptions:
    """How PWGF is run.

    `samples`: n, of all ranks together. `rtol`: MINRES stops at ‖r‖ ≤ rtol ‖b‖. `scheme`: a key
    of `TABLEAUX`. `step_size`: of a fixed step, or the first of an adaptive run. `tolerance`:
    largest error of a step, as root mean squared movement of the samples in units of x; None
    for a fixed step. `block`: samples per block, None for automatic.
    """

    samples: int = 4000
    rtol: float = 1e-5
    scheme: str = "heun"
    step_size: float = 0.05
    tolerance: float | None = None
    form: Form = Form.FORCE
    max_products: int = 2000
    dtype: torch.dtype = torch.float64
    seed: int = 0
    block: int | None = None

    def __post_init__(self) -> None:
        if self.scheme not in TABLEAUX:
            raise InputError(f"scheme {self.scheme!r} is not known: {', '.join(TABLEAUX)}")
        for name in ("samples", "step_size", "tolerance"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} must be positive and finite, got {value}")
        if self.max_products < 2:
            raise InputError(f"max_products must be at least 2, got {self.max_products}")
        if self.tolerance is not None and TABLEAUX[self.scheme].error is None:
            with_error = [name for name, t in TABLEAUX.items() if t.error is not None]
            raise InputError(
                f"scheme {self.scheme!r} has no error estimate to hold to a tolerance: use one of "
                f"{', '.join(with_error)}, or leave method.tolerance out"
            )
        check_rtol(self.rtol, self.dtype)

    def controller(self) -> Controller:
        """The step-size controller that the tolerance asks for."""
        if self.tolerance is None:
            return FixedStep()
        return PIController(self.tolerance, TABLEAUX[self.scheme].order)
