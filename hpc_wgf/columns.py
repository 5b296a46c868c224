"""The figures of a run: the name, meaning and unit of each, declared once.

A figure is declared where it is computed: by the time loop, by the method, or by the `Judge`, which
evaluates every method on the same sample. The store, the report and the benchmarks take names,
meanings and units from these declarations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STEP_PREFIX = "step_"
"""Begins the keys of the figures that every accepted step has."""


@dataclass(frozen=True)
class Column:
    """A figure that is recorded at every stored time, or for every accepted step."""

    name: str
    """Short name of the figure, as `energy`. A name may be used once for stored times and once for
    steps."""

    along: Literal["time", "step"]
    """The axis of the figure: one value for each stored time, or one for each accepted step."""

    long_name: str
    """Description of the figure for labels and tables."""

    unit: str = "1"
    """Unit, as a product of powers of the problem's own units, as "x^2/t^2": `x` length, `t` time,
    `F` energy, `s` seconds of wall time, `1` for a pure number."""

    integer: bool = False
    """Whether the values are whole numbers."""

    optional: bool = False
    """Whether the value may be missing in a valid run. A missing value is NaN."""

    @property
    def key(self) -> str:
        """Name that is unique in a run: `energy` along time, `step_energy` along the steps."""
        return self.name if self.along == "time" else STEP_PREFIX + self.name


def along(axis: Literal["time", "step"], columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns whose axis is `axis`, in the order in which they are given."""
    return tuple(column for column in columns if column.along == axis)
