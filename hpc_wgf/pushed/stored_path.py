"""The maps of a stored run, t ↦ T(t)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..kinds import check_number
from ..maps import MapState, PushForward
from ..methods.base import SampleOptions, laid_out, own_map
from ..problems import Problem
from ..store import StoredRun
from .between_rows import PathMap, map_at_row, map_between
from .map_at import MapAt
from .stored_maps import map_of_row

_CLOSE = 1e-6  # of the time between rows: a time that was typed with so many digits is meant


class StoredPath:
    """The maps of a stored run at its stored times and between them."""

    def __init__(
        self, run: StoredRun, problem: Problem, map: PushForward, options: SampleOptions
    ) -> None:
        """`problem`, `map`, `options`: with which the run began.

        Errors: `InputError` for a store of an older schema, and for one without a row."""
        run.check_resumable()
        if run.rows == 0:
            raise InputError(f"{run.path} has no row yet: read it once one is committed")
        self.run, self.problem = run, problem
        self._begun = map, options
        self.times: Sequence[float] = run.column("time").tolist()
        """The stored times."""

    @cached_property
    def first_map(self) -> PushForward:
        """The map of the first stage as the run had it. The evaluation sample, which may be large,
        is not drawn for it."""
        map, options = self._begun
        return laid_out(own_map(map, options), self.problem.start).to(options.torch_dtype)

    def row(self, time: float) -> int:
        """The row of a stored time. Errors: `InputError` with the nearest one."""
        if (row := self._stored_row(time)) is None:
            raise InputError(
                f"{self.run.path} has no row at t = {time:g}: the nearest is at "
                f"t = {self.times[self._nearest(time)]:.12g}"
            )
        return row

    def _nearest(self, time: float) -> int:
        return int(np.argmin(np.abs(np.asarray(self.times) - time)))

    def _stored_row(self, time: float) -> int | None:
        """The row of a stored time; None for another."""
        nearest = self._nearest(time)
        close = _CLOSE * float(self.run.attributes["layout"]["every"]) + 2 * math.ulp(time)
        return nearest if abs(self.times[nearest] - time) <= close else None

    def rows(self, time: float) -> tuple[int, ...]:
        """The row of a stored time, or the two rows round another.

        Errors: `InputError` for a time outside of the run."""
        check_number(time, "a time")
        if (row := self._stored_row(time)) is not None:
            return (row,)
        first, last = self.times[0], self.times[-1]
        if not first < time < last:
            raise InputError(
                f"t = {time:g} is outside of {self.run.path}, which is stored from t = {first:g} "
                f"to {last:.12g}"
            )
        row = int(np.searchsorted(self.times, time)) - 1
        return row, row + 1

    def at(self, time: float) -> PathMap:
        """T(t) at any time of the run, between rows by Hermite interpolation of θ.

        Errors: `InputError` for a time outside of the run."""
        row, *between = self.rows(time)
        if not between:
            return map_at_row(self.run, self.first_map, row)
        return map_between(self.run, self.first_map, row, time)

    def map_at(self, time: float) -> MapAt:
        """T(t) at any time of the run as a function. Errors: as for `at`."""
        path = self.at(time)
        folded = self.run.column("folded")[list(self.rows(time))]
        return MapAt(self.problem, time, path, folded=int(np.nanmax(folded, initial=0.0)))

    def map(self, time: float) -> MapState:
        """T(t) at a stored time, frozen stages and all."""
        return map_of_row(self.run, self.first_map, self.row(time))
