"""Runs beside each other: settings that differ, distances over time, errors, seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..fields import local_path
from .distances import SAMPLES
from .run import Run, open_run

FIGURES = {
    "t, last": "times", "energy": "energy", "KL to equilibrium": "kl_divergence",
    "map error / displacement": "map_error_relative", "its estimate": "error_estimate_relative",
    "its bound": "error_bound_relative", "√(δ/E|f|²)": "projection_error_fresh_relative",
}  # fmt: skip
"""Figures of a summary over time, by what they are called."""
NUMBERS = {
    "parameters": "parameters", "stages": "stages", "samples": "samples", "steps": "steps",
    "rejected": "rejected", "ranks": "ranks", "seconds": "wall_seconds",
}  # fmt: skip
"""Numbers of a whole run, likewise."""


@dataclass(frozen=True)
class Compared:
    """One of the runs: a store, or the record that `hpc-wgf report --json` has printed."""

    name: str
    summary: Mapping[str, Any]
    """The keys of `Summary`."""
    settings: Mapping[str, Any]
    """Of its run file, as "method.samples"; empty for a record."""
    run: Run | None
    """None for a record."""

    @classmethod
    def of(cls, path: Path | str, *, trust: bool = False) -> Compared:
        """Errors: `InputError` for what is neither."""
        path = local_path(path)
        if path.is_file():
            return cls(str(path), _record(path), {}, None)
        return cls.of_run(open_run(path, trust=trust))

    @classmethod
    def of_run(cls, run: Run) -> Compared:
        """Of an open store."""
        settings = run.attributes["configuration"] or run.attributes["objects"]
        return cls(str(run.path), asdict(run.summary), flattened(settings), run)


def _record(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is neither a store nor a record that `hpc-wgf report --json` printed"
        ) from error
    needed = {"problem", "times", *NUMBERS.values()} - {"stages", "rejected"}
    if not isinstance(found, dict) or not needed <= set(found):
        raise InputError(f"{path} is JSON, but no record that `hpc-wgf report --json` printed")
    return found


def flattened(tables: Any, above: str = "") -> dict[str, Any]:
    """The values of nested tables by their dotted keys."""
    if isinstance(tables, Mapping):
        pairs: Iterator[tuple[Any, Any]] = iter(tables.items())
    elif isinstance(tables, list) and any(isinstance(each, Mapping) for each in tables):
        pairs = enumerate(tables)
    else:
        return {above: tables}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found |= flattened(value, f"{above}.{key}" if above else str(key))
    return found


@dataclass(frozen=True)
class Comparison:
    """What is known of several runs. Lists have one entry for each of them."""

    names: list[str]
    settings: dict[str, list[Any]]
    """Those that differ, by key; None where a run does not have one."""
    figures: dict[str, list[Any]]
    """At the last stored time of each."""
    times: list[float]
    """Of the first run, as far as all stores reach."""
    distance: dict[str, list[float]]
    """By name the distance from the first run at these times, in units of x."""
    kind: str
    """Of the distances: "map", (E|T_a(z) − T_b(z)|²)^½ over common samples, at least W₂."""
    notes: list[str]
    """Why distances are missing."""

    @classmethod
    def of(cls, runs: Sequence[Compared], *, samples: int = SAMPLES) -> Comparison:
        """Errors: `InputError` for fewer than two."""
        if len(runs) < 2:
            raise InputError("a comparison takes two runs or more: give their stores or records")
        distance, times, notes = _distances(runs, samples)
        return cls(
            names=[run.name for run in runs],
            settings=_differing(runs),
            figures=_figures(runs),
            times=times, distance=distance, kind="map", notes=notes,
        )  # fmt: skip


def _differing(runs: Sequence[Compared]) -> dict[str, list[Any]]:
    stores = [run for run in runs if run.run is not None]
    keys = dict.fromkeys(key for run in stores for key in run.settings)
    rows = {key: [run.settings.get(key) for run in runs] for key in keys}
    told = {key: [run.settings.get(key) for run in stores] for key in keys}
    return {key: rows[key] for key in keys if any(v != told[key][0] for v in told[key])}


def _figures(runs: Sequence[Compared]) -> dict[str, list[Any]]:
    rows = {"problem": [run.summary["problem"] for run in runs]}
    rows |= {name: [last(run.summary.get(key)) for run in runs] for name, key in FIGURES.items()}
    rows |= {name: [run.summary.get(key) for run in runs] for name, key in NUMBERS.items()}
    return {name: row for name, row in rows.items() if any(value is not None for value in row)}


def last(values: list[float | None] | None) -> float | None:
    """A figure at the last stored time."""
    return values[-1] if values else None


def _distances(
    runs: Sequence[Compared], samples: int
) -> tuple[dict[str, list[float]], list[float], list[str]]:
    notes = [f"{run.name} is a record without maps" for run in runs if run.run is None]
    first = runs[0]
    others = [run for run in runs[1:] if run.run is not None]
    if first.run is None or not others:
        return {}, [], notes
    try:
        ends = [run.run.trajectory.times[-1] for run in (first, *others) if run.run is not None]
        begins = [run.run.trajectory.times[0] for run in (first, *others) if run.run is not None]
    except InputError as error:
        return {}, [], [*notes, str(error)]
    times = [t for t in first.run.trajectory.times if max(begins) <= t <= min(ends)]
    distance = {}
    for other in others:
        assert other.run is not None
        try:
            distance[other.name] = [
                first.run.map_distance(other.run, time, samples=samples).value for time in times
            ]
        except InputError as error:
            notes.append(str(error))
    return distance, times, notes
