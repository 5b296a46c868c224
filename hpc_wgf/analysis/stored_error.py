"""Bound and estimate of the error of a stored run, at its rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..diagnostics import ErrorField, ErrorMonitor, PathPoint, between
from ..maps import MapState
from ..pushed import Interval, map_state
from .trajectory import Trajectory

_FEWEST, _MOST = 2, 16  # pieces in which the path between two rows is followed


@dataclass(frozen=True)
class StoredError:
    """What is known of the error at a row without an exact solution."""

    time: float
    """t."""
    bound: float | None
    """Of W₂(ρ_θ, ρ), in units of x; None where κ is not known."""
    estimate: float | None
    """(E|e|²)^½ of the linearised error e, in units of x; None where it is not followed."""
    field: ErrorField | None
    """e at samples. None where `estimate` is."""
    convexity: float | None
    """κ of the bound. None where it is not known."""
    convexity_source: str
    """Where κ is known from: "energy", "given" or "sample"."""


def stored_errors(run: Trajectory, *, along_rows: bool = False) -> list[StoredError]:
    """Bound and estimate at every row of a run: those that its monitor has stored, or where it had
    none, or `along_rows`, those of the path through its rows.

    This path is the cubic Hermite polynomial of the stored parameters and velocities; the theorem
    holds for any path, so that its bound is one too, but it is larger where rows are far apart.

    Errors: `InputError` for flows of which neither is known (see `no_error_bound`).
    """
    monitor = ErrorMonitor.of(run.judge, run.setting.sampler)
    state = run.run.error_state(0)
    # Another version may have followed another number of samples.
    stored = state is not None and state.size == monitor.state_size and not along_rows
    return list((_resumed if stored else _followed)(run, monitor))


def _resumed(run: Trajectory, monitor: ErrorMonitor) -> Iterator[StoredError]:
    for row, time in enumerate(run.times):
        state = run.run.error_state(row)
        assert state is not None
        map = run.map(time)
        monitor.resume(state, map)
        yield _found(monitor, time, map)


def _followed(run: Trajectory, monitor: ErrorMonitor) -> Iterator[StoredError]:
    taken = run.run.column("steps_taken")
    map = run.map(run.times[0])
    yield _found(monitor, run.times[0], map)
    for row in range(1, len(run.times)):
        path = Interval.of(run.run, row - 1)
        if path.begins_stage:
            map = map_state(run.run, run.first_map, path.stage, path.thetas[0])
        begun, map = map, run.map(run.times[row])
        ends = [
            PathPoint(at, None if slope is None else slope.to(at.theta), None)
            for at, slope in zip((begun, map), path.velocities, strict=True)
        ]
        steps = taken[row] - taken[row - 1]
        pieces = int(min(max(_FEWEST, steps), _MOST)) if math.isfinite(steps) else _MOST
        for first, last in between(ends[0], ends[1], path.step, pieces):
            monitor.advance(first, last, path.step / pieces)
        yield _found(monitor, run.times[row], map)


def _found(monitor: ErrorMonitor, time: float, map: MapState) -> StoredError:
    field = monitor.estimated(map)
    figures = monitor.figures_of(field)
    if field is not None and not math.isfinite(field.size):
        field = None
    return StoredError(
        time=time,
        bound=bound if math.isfinite(bound := figures["error_bound"]) else None,
        estimate=None if field is None else field.size,
        field=field,
        convexity=kappa if math.isfinite(kappa := figures["convexity"]) else None,
        convexity_source=monitor.convexity_source,
    )
