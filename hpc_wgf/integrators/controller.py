"""Step-size controllers: accept or reject a step, propose the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Verdict:
    """What a controller decides about a step."""

    accept: bool
    """Whether the step counts; else it is repeated with another size."""
    factor: float
    """The size of the next step over that of this one."""
    error: float
    """Error of the last accepted step over the largest one allowed, which is `previous` in the next
    call of `Controller.judge`; 1 where there is none."""


class Controller(Protocol):
    """Accepts or rejects steps by their estimated errors, and chooses the size of the next."""

    def judge(self, error: float | None, previous: float, displacement: float) -> Verdict:
        """The verdict on a step.

        `error`: norm of its error estimate, None for a scheme without one. `previous`:
        `Verdict.error` of the last accepted step, 1 at the start. `displacement`: how far y has
        come since the start of the run, this step included, in the norm of the error.
        """
        ...

    def after_failure(self) -> float | None:
        """The factor by which to shorten a step that could not be completed; None where the size
        of steps may not change."""
        ...


@dataclass(frozen=True)
class FixedStep:
    """Accepts every step, and changes no step size."""

    may_adapt: bool = False
    """Whether the method could control its steps, if it were given a tolerance."""

    def judge(self, error: float | None, previous: float, displacement: float) -> Verdict:
        return Verdict(True, 1.0, 1.0)

    def after_failure(self) -> float | None:
        return None


@dataclass(frozen=True)
class PIController:
    """factor = s ε^{−0.7/k} ε_prev^{0.4/k}, ε = error/(tolerance · scale), where a step is accepted
    (ε ≤ 1). The scale is 1, or for a relative tolerance max(displacement, `least_scale`).

    A rejected step is repeated with the factor s ε^{−1/k}. `judge` raises `ValueError` for a step
    without an error estimate.

    Source: K. Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533.
    """

    tolerance: float
    """The largest error of an accepted step, in the units of the error, or with a `least_scale`
    relative to the displacement."""
    order: int
    """k, the power of h in the error estimate."""
    safety: float = 0.9
    """s, below 1, so that few steps are rejected."""
    smallest: float = 0.2
    """The smallest factor."""
    largest: float = 3.0
    """The largest factor."""
    least_scale: float | None = None
    """The smallest displacement to which a relative tolerance refers, above 0; None for an absolute
    tolerance."""

    def judge(self, error: float | None, previous: float, displacement: float) -> Verdict:
        if error is None:
            raise ValueError("a scheme without an error estimate cannot control its step")
        if not math.isfinite(error):
            return Verdict(False, self.smallest, previous)
        scale = 1.0 if self.least_scale is None else max(displacement, self.least_scale)
        ratio = max(error / (self.tolerance * scale), 1e-8)
        if ratio > 1.0:
            factor = self.safety * ratio ** (-1.0 / self.order)
            return Verdict(False, max(self.smallest, min(1.0, factor)), previous)
        factor = self.safety * ratio ** (-0.7 / self.order) * previous ** (0.4 / self.order)
        return Verdict(True, max(self.smallest, min(self.largest, factor)), ratio)

    def after_failure(self) -> float | None:
        return 0.5
