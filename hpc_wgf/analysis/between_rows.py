"""T(t) between two stored times, from parameters and velocities at both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..maps import MapState, PushForward
from ..run.stored_maps import map_of_row, map_state
from ..store import StoredRun

Slopes = list[np.ndarray | None]
"""θ' at both ends, (p,) each, where they are known."""


@dataclass(frozen=True)
class PathMap:
    """T(t) of a stored run."""

    map: MapState
    """T(t): at a stored time the map of that row, else with θ(t) by the cubic polynomial that has
    the stored θ and η = θ' at both ends (Hermite)."""
    coarser: MapState | None
    """With a polynomial of one degree less, whose distance is an estimate, mostly far too large, of
    what is wrong between rows; None at a stored time."""


def map_between(stored: StoredRun, first: PushForward, row: int, time: float) -> PathMap:
    """T(t) for a time from that of `row` up to that of the next. `first`: as for `map_of_row`.

    A stage that begins with `row` has no stored velocity there, nor has any of a method without
    velocities: the polynomial then has a degree less for each end that says nothing."""
    begun, ended = stored.column("time")[row : row + 2]
    step, stage = ended - begun, stored.stage_of(row + 1)
    same = stored.stage_of(row) == stage
    ends = (stored.theta(row) if same else stored.initial_theta(stage), stored.theta(row + 1))
    slopes = [stored.velocity(row) if same else None, stored.velocity(row + 1)]
    known: Slopes = [None if slope is None else slope.astype(float) for slope in slopes]
    fine = _polynomial(ends[0].astype(float), ends[1].astype(float), known, step, time - begun)
    # Of two slopes the first is left out: errors of a run grow with time.
    fewer: Slopes = [None, known[1]] if known[0] is not None else [None, None]
    coarse = _polynomial(ends[0].astype(float), ends[1].astype(float), fewer, step, time - begun)
    if all(slope is None for slope in known):  # no degree less than that of a straight line
        coarse = ends[int(time - begun > 0.5 * step)].astype(float)
    return PathMap(
        map_state(stored, first, stage, torch.from_numpy(fine)),
        map_state(stored, first, stage, torch.from_numpy(coarse)),
    )


def map_at_row(stored: StoredRun, first: PushForward, row: int) -> PathMap:
    """T(t) at a stored time."""
    return PathMap(map_of_row(stored, first, row), None)


def _polynomial(
    first: np.ndarray, last: np.ndarray, slopes: Slopes, step: float, after: float
) -> np.ndarray:
    """The value at time `after` of the polynomial from `first` to `last` in a time `step`, with
    those slopes at the ends that are known: a straight line and corrections that are 0 at both
    ends."""
    s, straight = after / step, (last - first) / step
    value = first + after * straight
    at_first, at_last = slopes
    if at_first is not None and at_last is not None:
        bends = (1 - s) * (at_first - straight) - s * (at_last - straight)
    elif at_last is not None:
        bends = straight - at_last
    elif at_first is not None:
        bends = at_first - straight
    else:
        return value
    return value + step * s * (1 - s) * bends
