"""How PWGF is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral
from typing import TYPE_CHECKING, ClassVar

import torch

from ..errors import InputError
from ..integrators import SCHEMES, Controller, FixedStep, PIController
from ..krylov import check_rtol
from ..metric import Preconditioning

if TYPE_CHECKING:
    from .base import Setting
    from .pwgf.pwgf import PWGF

_FEWEST_VALIDATION = 32


class Form(StrEnum):
    """`force`: ∇F = Jᵀf/n. `energy`: ∇F differentiates the sample mean of the energy; the two
    agree only in expectation, and only the first is in the range of Ĝ."""

    FORCE = "force"
    ENERGY = "energy"


class Solver(StrEnum):
    """`minres`: on Ĝ, one all-reduce a product. `lsmr`: on J itself, which keeps the true residual
    in single precision for one more all-reduce of a number; force form only."""

    MINRES = "minres"
    LSMR = "lsmr"


@dataclass(frozen=True)
class PWGFOptions:
    """How PWGF is run.

    `samples`: n, of all ranks together. `rtol`: a solve stops at ‖r‖ ≤ rtol ‖b‖. `scheme`: a key of
    `SCHEMES`. `step_size`: of a fixed step, or the first of an adaptive run. `tolerance`: largest
    error of a step, as root mean squared movement of the samples in units of x; None for a fixed
    step. `block`: samples per block, None for automatic. `shift`: ε/‖Ĝ‖ of the system (Ĝ + εI) η =
    −∇F, None for rtol/100 with a preconditioner (less where units or origin of x are far from the
    start density's) and 0 without. `validation`: a second sample, of so many times `samples`, that
    ends a solve when it gains no more; None for none. `cache_gib`: GiB that a rank may keep for
    products, what does not fit being computed anew in each; None for 2, on a GPU a quarter of its
    own. `tf32`: whether float32 products on a GPU may round to ten bits."""

    kind: ClassVar[str] = "pwgf"

    samples: int = 4000
    rtol: float = 1e-4
    scheme: str = "heun"
    step_size: float = 0.05
    tolerance: float | None = None
    form: Form = Form.FORCE
    max_products: int = 2000
    dtype: torch.dtype = torch.float64
    seed: int = 0
    block: int | None = None
    solver: Solver = Solver.MINRES
    preconditioner: Preconditioning = Preconditioning.AUTOMATIC
    shift: float | None = None
    validation: float | None = None
    cache_gib: float | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("form", Form), ("solver", Solver), ("preconditioner", Preconditioning)):
            object.__setattr__(self, name, _member(kind, getattr(self, name), name))
        if self.scheme not in SCHEMES:
            raise InputError(f"scheme {self.scheme!r} is not known: {', '.join(SCHEMES)}")
        for name, least in (("samples", 1), ("seed", 0), ("block", 1), ("max_products", 2)):
            value = getattr(self, name)
            if name == "block" and value is None:
                continue
            if not (isinstance(value, Integral) and int(value) >= least):
                raise InputError(f"{name} must be a whole number from {least} on, got {value!r}")
            object.__setattr__(self, name, int(value))
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype must be torch.float64 or torch.float32, got {self.dtype!r}")
        for name in ("step_size", "tolerance", "validation", "cache_gib"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} must be positive and finite, got {value}")
        if self.validation is not None and self.validation_samples < _FEWEST_VALIDATION:
            raise InputError(
                f"validation = {self.validation:g} of {self.samples} samples holds out "
                f"{self.validation_samples}, which tell nothing of a solve: hold out at least "
                f"{_FEWEST_VALIDATION}"
            )
        if self.tolerance is not None and SCHEMES[self.scheme].error_order is None:
            with_error = [name for name, each in SCHEMES.items() if each.error_order is not None]
            raise InputError(
                f"scheme {self.scheme!r} has no error estimate to hold to a tolerance: use one of "
                f"{', '.join(with_error)}, or leave method.tolerance out"
            )
        if self.shift is not None and not 0.0 <= self.shift < 1.0:
            raise InputError(
                f"shift is a fraction of the largest eigenvalue of the metric, in [0, 1): got "
                f"{self.shift}"
            )
        self._check_solver()
        check_rtol(self.rtol, self.dtype)

    def _check_solver(self) -> None:
        if self.solver is not Solver.LSMR:
            return
        if self.form is Form.ENERGY:
            raise InputError(
                "solver lsmr needs −∇F in the form Jᵀf/n, which the energy form has not: use "
                'method.form = "force", or method.solver = "minres"'
            )
        if self.validation is not None:
            raise InputError("validation watches minres only: leave it out, or use that solver")

    @property
    def torch_dtype(self) -> torch.dtype:
        return self.dtype

    @property
    def validation_samples(self) -> int:
        """Samples of the second set, which ends solves."""
        return max(1, round(self.samples * (self.validation or 0.0)))

    @property
    def budget(self) -> int | None:
        """`cache_gib` in bytes."""
        return None if self.cache_gib is None else int(self.cache_gib * 2**30)

    def bind(self, setting: Setting) -> PWGF:
        """PWGF at work. Errors: `InputError` where it cannot solve the problem."""
        from .pwgf.pwgf import PWGF

        return PWGF(setting, self)

    def controller(self) -> Controller:
        """The step-size controller that the tolerance asks for."""
        order = SCHEMES[self.scheme].error_order
        if self.tolerance is None or order is None:
            return FixedStep()
        return PIController(self.tolerance, order)


def _member(kind: type[StrEnum], value: str, name: str) -> StrEnum:
    """The member of `kind`, given itself or by its name."""
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(f"{name} {value!r} is not known: {', '.join(kind)}") from error
