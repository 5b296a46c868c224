"""Where the solves of the later stages of a step begin."""

from __future__ import annotations

from torch import Tensor


class StageGuess:
    """η at the last two times of the stages of a step, on one line in t with those to come."""

    def __init__(self, time: float, eta: Tensor) -> None:
        """η, (p,), at the beginning of the step."""
        self._before: tuple[float, Tensor] | None = None
        self._last = time, eta

    def add(self, time: float, eta: Tensor) -> None:
        """η at a further stage; of two at the same time the later one counts."""
        if time != self._last[0]:
            self._before = self._last
        self._last = time, eta

    def at(self, time: float) -> Tensor:
        """η at a time, by the line through the two known ones."""
        (last, eta), before = self._last, self._before
        if before is None or time == last:
            return eta
        slope = (time - last) / (last - before[0])
        return eta + slope * (eta - before[1])
