"""The figures of a run: each is declared once, beside what computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STEP_PREFIX = "step_"


@dataclass(frozen=True)
class Column:
    """One figure of a run."""

    name: str
    """As what computes it names it."""
    along: Literal["time", "step"]
    """One number a stored time, or one an accepted step."""
    long_name: str
    """What it is, in words."""
    unit: str = "1"
    """In words of the problem: "t" time of the run file, "x" lengths, "F" energies, "s" seconds."""
    integer: bool = False
    """Whether it counts."""
    optional: bool = False
    """Whether not-a-number is a value of a sound run: there is nothing to compare with."""

    @property
    def key(self) -> str:
        """The name by which a store and reports know it."""
        return self.name if self.along == "time" else STEP_PREFIX + self.name
