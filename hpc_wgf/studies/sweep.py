"""What has come out of a sweep: every run's figures, one figure against another, what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..fields import nearest
from ..report import Summary
from ..results.comparison import FIGURES, NUMBERS, last
from .folder import Progress, RunFiles, State
from .grid import SEED, Axis, Grid, Planned

_NOT_TOLD = ("times", "t, last", "samples", "ranks", "parameters", "stages")
_TOLD = {name: key for name, key in {**FIGURES, **NUMBERS}.items() if name not in _NOT_TOLD}
"""Figures of the table, by what they are called."""
_ERRORS = ("map_error_relative", "error_estimate_relative", "kl_divergence", "energy")
"""What is drawn by default: the first of these that is known."""


@dataclass(frozen=True)
class Outcome:
    """One run, how far it is, and what is known of it."""

    planned: Planned
    files: RunFiles
    progress: Progress

    def figure(self, name: str) -> float | None:
        """A figure of `Summary`, at the last stored time where it has many; None where it is not
        known, and of a run that has not finished."""
        if self.progress.state is not State.FINISHED:
            return None
        value = getattr(self.progress.summary, name)
        value = last(value) if isinstance(value, list) else value
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Group:
    """The runs of one combination of the settings, which differ in their seeds alone."""

    settings: Mapping[str, Any]
    """Of the axes without the seed."""
    outcomes: Sequence[Outcome]

    def values(self, name: str) -> list[float]:
        """A figure of those that have it."""
        found = (outcome.figure(name) for outcome in self.outcomes)
        return [value for value in found if value is not None]


@dataclass(frozen=True)
class Sweep:
    """All runs of a grid as their files say it now."""

    folder: Path
    grid: Grid
    outcomes: tuple[Outcome, ...]

    @classmethod
    def read(cls, folder: Path, grid: Grid) -> Sweep:
        """From the files in `folder`. Errors: `InputError` where that is none."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is no folder: give another --out")
        files = [RunFiles(folder, run.name) for run in grid.runs]
        outcomes = [
            Outcome(run, each, each.progress()) for run, each in zip(grid.runs, files, strict=True)
        ]
        return cls(folder, grid, tuple(outcomes))

    def of(self, *states: State) -> list[Outcome]:
        """The runs that are so far."""
        return [outcome for outcome in self.outcomes if outcome.progress.state in states]

    @property
    def axes(self) -> list[Axis]:
        """Those that are no seeds."""
        return [axis for axis in self.grid.axes if axis.key != SEED]

    def groups(self) -> list[Group]:
        """The combinations, in the order of the grid."""
        found: dict[str, Group] = {}
        for outcome in self.outcomes:
            settings = {k: v for k, v in outcome.planned.settings.items() if k != SEED}
            group = found.setdefault(repr(settings), Group(settings, []))
            group.outcomes.append(outcome)  # type: ignore[attr-defined]
        return list(found.values())

    def known(self) -> dict[str, str]:
        """The figures of the table that some run has: what they are called, by their names."""
        runs = self.of(State.FINISHED)
        return {
            key: called
            for called, key in _TOLD.items()
            if any(run.figure(key) is not None for run in runs)
        }

    def as_dict(self) -> dict[str, Any]:
        """For machines: every run with its settings, state, reason of failure and figures."""
        runs = [
            {
                "name": run.planned.name, "settings": dict(run.planned.settings),
                "state": str(run.progress.state), "reason": run.progress.reason,
                "store": str(run.files.store),
                "figures": {key: run.figure(key) for key in self.known()},
            }
            for run in self.outcomes
        ]  # fmt: skip
        axes = {axis.key: list(axis.values) for axis in self.grid.axes}
        return {"folder": str(self.folder), "axes": axes, "runs": runs}

    def named(self, name: str) -> Axis | str:
        """The axis or the figure that is meant. Errors: `InputError` with the nearest name."""
        for axis in self.axes:
            if name in (axis.key, axis.short):
                return axis
        figures = list(_figures())
        if name in figures:
            return name
        known = [*(axis.key for axis in self.axes), *figures]
        raise InputError(
            f"there is no figure {name!r:.60}{nearest(name, known)}: give a key of the grid or a "
            "figure of `hpc-wgf report --json`"
        )

    def default_pictures(self) -> list[tuple[str, str]]:
        """What is drawn where nothing else is asked for: the error that is known against every
        axis, and against the seconds."""
        error = next((key for key in _ERRORS if key in self.known()), None)
        if error is None:
            return []
        several = [axis.key for axis in self.axes if len(axis.values) > 1]
        return [(name, error) for name in [*several, "wall_seconds"]]


def _figures() -> Iterator[str]:
    """Names of the figures of a summary that are numbers, or numbers over time."""
    for field in fields(Summary):
        if field.type in ("Column", "Column | None", "list[float]", "list[int]", "float", "int",
                          "float | None", "int | None"):  # fmt: skip
            yield field.name
