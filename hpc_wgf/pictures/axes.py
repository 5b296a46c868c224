"""Which axes of space a picture shows."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..kinds import shown
from ..store import StoredRun

LARGEST = "largest"

Axes = str | tuple[int, ...]
"""`LARGEST`, or numbers of axes from 1, as pictures label them."""


def chosen_axes(run: StoredRun, axes: Axes, count: int) -> list[int]:
    """Places of axes, from 0: those that are asked for, or the `count` of largest motion.

    Errors: `InputError` for axes that do not exist, or stand twice."""
    dimension = int(run.attributes["dimension"])
    if axes == LARGEST:
        return largest_motion(run)[:count]
    if isinstance(axes, str) or not axes:
        raise InputError(f'axes are {shown(axes)}: expected "{LARGEST}" or numbers, as (1, 2)')
    wrong = [axis for axis in axes if type(axis) is not int or not 1 <= axis <= dimension]
    if wrong or len(set(axes)) < len(axes):
        raise InputError(
            f"axes {', '.join(map(str, axes))} of a run in dimension {dimension}: expected "
            f"different numbers from 1 to {dimension}"
        )
    return [axis - 1 for axis in axes]


def largest_motion(run: StoredRun, samples: int = 4000) -> list[int]:
    """All axes, the one along which particles have moved farthest in mean square first."""
    first, last = (run.particles(row, slice(samples)) for row in (0, -1))
    square = np.square(last.astype(float) - first)
    log_weight = run.log_weight(slice(samples))
    if log_weight is not None:
        square *= np.exp(log_weight)[:, None]
    return [int(axis) for axis in np.argsort(-square.sum(0), kind="stable")]


def parsed_axes(text: str) -> Axes:
    """Axes as a command line gives them: "largest", or numbers with commas between them."""
    if text == LARGEST:
        return LARGEST
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f'axes are {text!r}: expected "{LARGEST}" or numbers, as 1,2') from error
