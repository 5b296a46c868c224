"""The times at which a run is stored, and the steps that meet them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError, LoopError

_MOST_ROWS = 1_000_000
_MOST_STEPS = 1e9
_LOST = 0.1  # of a step, which rounding may take


@dataclass(frozen=True)
class Schedule:
    """Stored times: `start`, start + every, start + 2·every, … and `until`.

    They are rounded to twelve digits of the largest of `start`, `every` and the time itself, so
    that a run to a multiple of `every`, as a user writes it, ends where a longer one only passes:
    to be resumed there as that one. A time at which 0 is passed has no digits of its own.

    Errors: `InputError` for more rows than a store is made for, and where numbers near `until` lie
    too far apart to tell stored times."""

    start: float
    """Time of the first row."""
    until: float
    """Time of the last row."""
    every: float
    """Time between rows."""
    stops: tuple[float, ...] = ()
    """Further times at which a step has to end, rising."""

    def __post_init__(self) -> None:
        span = self.until - self.start
        if not math.isfinite(span):
            raise InputError(
                f"the time from {self.start:g} to {self.until:g} is not finite: choose another "
                "unit of time"
            )
        if span / self.every > _MOST_ROWS:
            raise InputError(
                f"output.every = {self.every:g} makes {span / self.every:.3g} rows to t = "
                f"{self.until:g}, more than {_MOST_ROWS:,}: store rows less often"
            )
        if self._slack(self.every) > 1e-3:
            raise InputError(
                f"near t = {self.until:.12g} numbers lie too far apart for rows every "
                f"{self.every:.3g}: count time from a start_time nearer to 0"
            )

    def check_step(self, step: float, *, fixed: bool) -> None:
        """Errors: `InputError` for a first step that is lost beside the times, or so short that
        `fixed` steps of this size would never come to an end."""
        if self._slack(step) > _LOST:
            raise InputError(self._lost(step, max(self.start, self.until, key=abs)))
        steps = (self.until - self.start) / step
        if fixed and steps > _MOST_STEPS:
            raise InputError(
                f"method.step = {step:g} makes {steps:.3g} steps to t = {self.until:g}, more than "
                f"{_MOST_STEPS:.0e}: take longer steps, or give method.tolerance"
            )

    def _lost(self, step: float, time: float) -> str:
        return (
            f"a step of {step:.3g} is lost beside t = {time:.12g}: take longer steps, or "
            "count time from a start_time nearer to 0"
        )

    def _slack(self, unit: float) -> float:
        """What rounding may do to a difference of times, in such units."""
        return 1e-9 + 4 * math.ulp(max(abs(self.start), abs(self.until))) / unit

    def next_after(self, time: float) -> float:
        """The first stored time after `time`."""
        slack = self._slack(self.every)
        k = math.floor((time - self.start) / self.every + slack) + 1
        exact = self.start + k * self.every
        largest = max(abs(self.start), abs(exact), self.every)
        # + 0.0, as what is rounded up to 0 is −0.0.
        rounded = round(exact, 11 - math.floor(math.log10(largest))) + 0.0
        following = rounded if abs(rounded - exact) < 1e-9 * self.every else exact
        if not following < self.until - slack * self.every:
            following = self.until
        return min([following, *(stop for stop in self.stops if time < stop < following)])

    def step_to(self, time: float, proposal: float) -> tuple[float, float]:
        """(step, time after it): the proposal shortened so that equal steps end on the next
        stored time, which the last of them meets exactly. A function of the state alone."""
        target, slack = self.next_after(time), self._slack(proposal)
        left = max(1, math.ceil((target - time) / proposal - slack))
        step = (target - time) / left
        if slack > _LOST:
            raise LoopError(self._lost(proposal, time))
        return step, target if left == 1 else time + step
