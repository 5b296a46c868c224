"""What a run's Zarr v3 group holds.

| array | dimensions | |
|---|---|---|
| `time` | time | one entry a committed row |
| `theta`, `velocity` | time, parameter | padded with not-a-number to the longest stage |
| `particles` | time, sample, axis | |
| `log_density` | time, sample | |
| `log_weight` | sample | where samples are drawn with importance weights |
| `error_state` | time, error_number | where the error is estimated |
| `method_state` | time, method_number | where the method has more to go on with than theta |
| `figures` | time, figure | columns named in its attribute `columns` |
| `step_figures` | step, step_figure | one entry an accepted step before the last committed row |
| `stage_theta` | stage, parameter | initial parameters of every stage |
| `particle_time` | particle_time | where not all rows have particles |
| `sample`, `axis` | of the same name | coordinates, from 0 |

Where not all rows have particles, `particles` and `log_density` lie along a dimension
`particle_time` with a coordinate of that name, times of rows. A reader passes over arrays and
columns that it does not know.

A row counts when the group's consolidated metadata show it: they are replaced in one atomic
rename, after all ranks have written their shards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..columns import Column

SCHEMA_VERSION = 4
TIME, STEP, STAGE, PARAMETER = "time", "step", "stage", "parameter"
PARTICLE_TIME = "particle_time"
FIGURES, STEP_FIGURES = "figures", "step_figures"
OLDEST_ARRAYS = ("time", "theta", "particles", "log_density")
"""Arrays that stores of all schemas have."""
OF_SOME_RUNS = ("log_weight", "error_state", "method_state", PARTICLE_TIME)
"""Arrays that only some runs have,"""
FURTHER = "further_arrays"
"""and the attribute that names those of a run."""
BEGINS_AT_REST = "begins_at_rest"
"""The attribute of runs whose first row has no velocity."""
ROUND_BITS = "round_bits"
"""The attribute of the particles that names the bits of their mantissa, where not all are kept."""
_COLUMNS = "columns"


@dataclass(frozen=True)
class ArrayLabel:
    """How one array of the store is labelled."""

    dimensions: tuple[str, ...]
    """The names of its axes."""

    long_name: str
    """What it holds."""

    units: str
    """In the words of the problem, see `Column.unit`."""


ARRAYS: Mapping[str, ArrayLabel] = {
    "time": ArrayLabel((TIME,), "time of the row", "t"),
    "theta": ArrayLabel((TIME, PARAMETER), "parameters of the map that moves", "1"),
    "velocity": ArrayLabel((TIME, PARAMETER), "eta, d theta/dt at the row", "1/t"),
    "particles": ArrayLabel(
        (TIME, "sample", "axis"), "images T(z) of the evaluation sample", "x"
    ),
    "log_density": ArrayLabel(
        (TIME, "sample"),
        "log rho at the particles; not a number where the map has folded, or where samples alone "
        "tell the start density",
        "1",
    ),
    "log_weight": ArrayLabel(
        ("sample",), "log of the importance weight w, with which E[a] is the mean of w a", "1"
    ),
    "figures": ArrayLabel(
        (TIME, "figure"), "figures of the rows, named and labelled in `columns`", "see columns"
    ),
    "step_figures": ArrayLabel(
        (STEP, "step_figure"), "figures of the steps, named and labelled in `columns`",
        "see columns",
    ),
    "stage_theta": ArrayLabel((STAGE, PARAMETER), "initial parameters of the stage's map", "1"),
    "error_state": ArrayLabel(
        (TIME, "error_number"), "what the estimate of the error goes on with", "1"
    ),
    "method_state": ArrayLabel(
        (TIME, "method_number"), "what the method goes on with beside theta", "1"
    ),
    PARTICLE_TIME: ArrayLabel(
        (PARTICLE_TIME,), "time of the row to which the particles belong", "t"
    ),
    "sample": ArrayLabel(("sample",), "number of the evaluation sample's member", "1"),
    "axis": ArrayLabel(("axis",), "axis of space", "1"),
}  # fmt: skip


def labelled(columns: Sequence[Column]) -> dict[str, str]:
    """The attribute that names the columns of a figures array, as JSON: netCDF has no tables."""
    return {_COLUMNS: json.dumps([asdict(column) for column in columns])}


def labels(attributes: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a figures array, from its attributes. A later writer may say more of them
    than is known here."""
    known = Column.__dataclass_fields__
    return tuple(
        Column(**{name: value for name, value in entry.items() if name in known})
        for entry in json.loads(attributes[_COLUMNS])
    )
