"""T(t) between two stored times, from parameters and velocities at both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..diagnostics import cubic
from ..maps import MapState, PushForward
from ..store import StoredRun
from .stored_maps import map_of_row, map_state


@dataclass(frozen=True)
class Interval:
    """The path from a stored row to the next, in float64. It lies in one stage of the map."""

    step: float
    """The time from the one to the other."""
    stage: int
    """The stage of the next row, which may begin with the first."""
    begins_stage: bool
    """Whether it does."""
    thetas: tuple[Tensor, Tensor]
    """θ at both ends, (p,)."""
    velocities: tuple[Tensor | None, Tensor | None]
    """θ' there, where it is stored: not where a stage begins, nor of a method without."""

    @classmethod
    def of(cls, stored: StoredRun, row: int) -> Self:
        """From `row` on."""
        begun, ended = stored.column("time")[row : row + 2]
        stage = stored.stage_of(row + 1)
        begins = stored.stage_of(row) != stage
        first = stored.initial_theta(stage) if begins else stored.theta(row)
        return cls(
            float(ended - begun), stage, begins,
            (torch.from_numpy(first).double(), torch.from_numpy(stored.theta(row + 1)).double()),
            (None if begins else _velocity(stored, row), _velocity(stored, row + 1)),
        )  # fmt: skip


def _velocity(stored: StoredRun, row: int) -> Tensor | None:
    found = stored.velocity(row)
    known = found is not None and bool(np.isfinite(found).all())
    return torch.from_numpy(found).double() if known else None


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

    The polynomial has a degree less for each end whose velocity is not stored."""
    path = Interval.of(stored, row)
    share = float(time - stored.column("time")[row]) / path.step
    fine, _ = cubic(*path.thetas, path.velocities, path.step, share)
    # Of two slopes the first is left out: errors of a run grow with time.
    fewer = [None, path.velocities[1]] if path.velocities[0] is not None else [None, None]
    coarse, _ = cubic(*path.thetas, fewer, path.step, share)
    if path.velocities == (None, None):  # no degree less than that of a straight line
        coarse = path.thetas[int(share > 0.5)]
    return PathMap(*(map_state(stored, first, path.stage, theta) for theta in (fine, coarse)))


def map_at_row(stored: StoredRun, first: PushForward, row: int) -> PathMap:
    """T(t) at a stored time."""
    return PathMap(map_of_row(stored, first, row), None)
