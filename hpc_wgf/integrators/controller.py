"""Step-size controllers: accept or reject a step, propose the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Verdict:
    """`factor`: the next step over the present one. `error`: the accepted step's error over the
    tolerance, to be handed back with the next one (1 where there is none)."""

    accept: bool
    factor: float
    error: float


class Controller(Protocol):
    """Judges a step by the norm of its error estimate."""

    def judge(self, error: float | None, previous: float) -> Verdict:
        """`error`: norm of the estimate (None without one). `previous`: `Verdict.error` of the
        last accepted step, 1 at the start."""
        ...

    def after_failure(self) -> float | None:
        """Factor for a step that could not be completed; None where steps may not change."""
        ...


@dataclass(frozen=True)
class FixedStep:
    """Every step is accepted, none is changed."""

    def judge(self, error: float | None, previous: float) -> Verdict:
        return Verdict(True, 1.0, 1.0)

    def after_failure(self) -> float | None:
        return None


@dataclass(frozen=True)
class PIController:
    """factor = s ε^{−0.7/k} ε_prev^{0.4/k}, ε = error/tolerance, k the order of the error + 1.

    K. Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533. `tolerance`: largest error of a step.
    """

    tolerance: float
    order: int
    safety: float = 0.9
    smallest: float = 0.2
    largest: float = 3.0

    def judge(self, error: float | None, previous: float) -> Verdict:
        if error is None:
            raise ValueError("a scheme without an error estimate cannot control its step")
        if not math.isfinite(error):
            return Verdict(False, self.smallest, previous)
        ratio = max(error / self.tolerance, 1e-8)
        if ratio > 1.0:
            factor = self.safety * ratio ** (-1.0 / self.order)
            return Verdict(False, max(self.smallest, min(1.0, factor)), previous)
        factor = self.safety * ratio ** (-0.7 / self.order) * previous ** (0.4 / self.order)
        return Verdict(True, max(self.smallest, min(self.largest, factor)), ratio)

    def after_failure(self) -> float | None:
        return 0.5
