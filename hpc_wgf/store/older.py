"""Stores of schemas 1 to 3, which are read and no longer written.

They hold every figure in an array of its own: scalars along `time` and, named `step_…`, along
`step`. What they may lack is listed here for good, as their arrays do not say it.
"""

from __future__ import annotations

from typing import Any

from ..columns import STEP_PREFIX, Column

OLDER = frozenset({1, 2, 3})
_OPTIONAL = frozenset(
    {"kl_divergence", "map_error", "map_displacement", "symmetric_kl", "projection_error",
     "projection_error_fresh", "step_projection_error", "step_projection_error_fresh",
     "force_square"}
)  # fmt: skip


def older_columns(group: Any) -> tuple[Column, ...]:
    """The figures of a store of an older schema; it does not say their units."""
    scalars = {
        name: array for name, array in sorted(group.arrays()) if array.ndim == 1 and name != "time"
    }
    return tuple(_column(name, array) for name, array in scalars.items())


def _column(key: str, array: Any) -> Column:
    step = array.metadata.dimension_names == ("step",)
    return Column(
        name=key.removeprefix(STEP_PREFIX) if step else key,
        along="step" if step else "time",
        long_name=array.attrs.get("long_name", key),
        unit="",
        integer=array.dtype.kind == "i",
        optional=key in _OPTIONAL,
    )
