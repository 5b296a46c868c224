"""Whether numbers can be what was written: a chunk that is missing reads as its fill value, which
is not-a-number or, for whole numbers of older stores, negative."""

from __future__ import annotations

import numpy as np

from ..columns import STEP_PREFIX, Column
from .schema import TIME


def flaw_of_times(values: np.ndarray) -> str | None:
    """What is wrong with times, (length,), in words; None where they are all there and increase."""
    if lost := int(np.isnan(values).sum()):
        return f"{lost} of {len(values)} numbers are missing"
    return "times do not increase" if (np.diff(values) <= 0).any() else None


def flaw_of_figure(column: Column, values: np.ndarray) -> str | None:
    """What is wrong with one figure, (rows,) or (steps,); None where nothing is."""
    lost = values < 0 if values.dtype.kind == "i" else np.isnan(values)
    if lost.any() and not column.optional:
        return f"{int(lost.sum())} of {len(values)} numbers are missing"
    return flaw_of_times(values) if column.key == STEP_PREFIX + TIME else None


def flaw_of_numbers(values: np.ndarray) -> str | None:
    """What is wrong with numbers all of which must be finite; None where they are."""
    lost = int(np.count_nonzero(~np.isfinite(values)))
    return f"{lost} of {values.size} numbers are missing or not finite" if lost else None
