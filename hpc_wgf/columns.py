"""The figures of a run, each declared once: name, meaning and unit.

Whoever computes a figure declares it: the loop, the judge, the method. The store, the report and
the benchmarks take names, meanings and units from the declaration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STEP_PREFIX = "step_"


@dataclass(frozen=True)
class Column:
    """One figure of every stored time, or of every accepted step."""

    name: str
    """What the time loop calls it, e.g. `energy`; one name may be used once along each axis."""

    along: Literal["time", "step"]
    """Whether stored times or accepted steps have it."""

    long_name: str
    """What it is, as a label says it."""

    unit: str = "1"
    """In the problem's own words: `x` length, `t` time, `F` energy, `s` seconds, `1` a number."""

    integer: bool = False
    """Whether its values are whole numbers."""

    optional: bool = False
    """Whether a sound run may lack a value, which is then not-a-number."""

    @property
    def key(self) -> str:
        """The name that is unique in a run: `energy` along time, `step_energy` along the steps."""
        return self.name if self.along == "time" else STEP_PREFIX + self.name


def along(axis: Literal["time", "step"], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those of `columns` that run along one axis, in their order."""
    return tuple(column for column in columns if column.along == axis)
