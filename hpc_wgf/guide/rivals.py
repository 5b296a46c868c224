"""What other ways of solving a flow give, from the record of `bench rivals`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from .records import Record, records
from .sections import markdown_table

OURS = "hpc-wgf"
_NAME = "rivals"
_WAYS = {
    OURS: "this solver",
    "euler-maruyama": "Euler–Maruyama",
    "metropolis": "Metropolis (MALA)",
    "grid": "grid",
    "lines": "a grid a coordinate",
    "particles": "particles",
    "blob": "blob method",
}
"""What the page calls them."""


def rows_of(data: Path) -> dict[str, dict[str, Record]]:
    """The rows of the record by problem and way."""
    rows = records(data / "benchmarks")[_NAME]["rows"]
    return {
        problem: {row["rival"]: row for row in group}
        for problem, group in groupby(rows, lambda row: row["problem"])
    }


def rivals_table(data: Path) -> str:
    """A line for each problem and way that answers it."""
    lines = []
    for problem, ways in rows_of(data).items():
        for row in ways.values():
            if row["error"] is not None:
                lines.append([*_head(problem, row), *_figures(row)])
    head = ["problem", "d", "way", "error", "density, L¹", "s", "s to our error", "size"]
    return markdown_table(head, lines)


def refusals_table(data: Path) -> str:
    """What each way has answered in the table, and what not."""
    found = rows_of(data)
    lines = []
    for way, name in _WAYS.items():
        able = [p for p, ways in found.items() if way in ways and ways[way]["error"] is not None]
        said = {
            str(ways[way]["note"]).removeprefix("cannot answer: ")
            for ways in found.values()
            if way in ways and ways[way]["error"] is None
        }
        lines.append([name, f"{len(able)} of {len(found)}", "; ".join(sorted(said))])
    return markdown_table(["way", "answers", "does not, as"], lines)


def findings(data: Path) -> str:
    """What the record says, in a list."""
    found = rows_of(data)

    def said(problem: str, way: str) -> str:
        row = found[problem][way]
        return f"{_short(row['error'])} in {_seconds(row['seconds'])} s"

    def reached(problem: str, way: str) -> str:
        return _seconds(found[problem][way]["seconds_as_good"])

    thirty, plane, ring = "styblinski-tang-30d", "styblinski-tang-2d", "aggregation-2d"
    moons, rest = "gmm-two-moons", "gmm-two-moons:problem.until=3"
    together = "aggregation-diffusion-2d"
    return "\n".join(
        [
            "- **Separable potentials: a grid on the line for every coordinate.** On "
            f"`{thirty}` it has this solver's error after {reached(thirty, 'lines')} s, and ends "
            f"at {said(thirty, 'lines')}; this solver: {said(thirty, OURS)}. On `{plane}` it is "
            f"{reached(plane, 'lines')} s against {_seconds(found[plane][OURS]['seconds'])} s. No "
            "map beats it where it can be had.",
            f"- **One or two dimensions: mostly a grid.** On `{moons}` it ends at "
            f"{said(moons, 'grid')}, this solver at {said(moons, OURS)}; on `{together}` "
            f"{said(together, 'grid')} against {said(together, OURS)}. On `porous-2d` the grid "
            f"ends at {said('porous-2d', 'grid')} and this solver at {said('porous-2d', OURS)}, "
            f"on `ou-2d-aniso` at {said('ou-2d-aniso', 'grid')} and "
            f"{said('ou-2d-aniso', OURS)}: it does not reach this solver's error there, though a "
            f"grid a coordinate does on the latter, after {reached('ou-2d-aniso', 'lines')} s.",
            f"- **Pure aggregation: particles.** On `{ring}` so many of them as Sobol points of "
            f"the start end at {said(ring, 'particles')}; this solver: {said(ring, OURS)}, with a "
            f"density that is off by {_short(found[ring][OURS]['error_density'])} in L¹, as nearly "
            f"all of it lies on a ring. The grid has {said(ring, 'grid')}, "
            f"{_levels(found[ring]['grid'])}.",
            f"- **The equilibrium alone: a sampler.** At t = 3 `{moons}` is nearly at rest: chains "
            f"of the Metropolis-adjusted Langevin algorithm are at {said(rest, 'metropolis')}, "
            f"this solver is at {said(rest, OURS)}. At t = 1 the same chains are off by "
            f"{_short(found[moons]['metropolis']['error'])}: they do not follow the flow. In "
            f"the plane a grid is better than either: {said(rest, 'grid')}.",
            "- **Linear diffusion, and no density asked for: Euler–Maruyama.** On `ou-10d` "
            f"{said('ou-10d', 'euler-maruyama')}, on `{thirty}` {said(thirty, 'euler-maruyama')}: "
            "half the error takes, in theory, four times as many paths with half the step. "
            f"This solver: {said('ou-10d', OURS)} and {said(thirty, OURS)}, with a density.",
            "- **The blob method** has its density from particles without a map: on `porous-2d` "
            f"{said('porous-2d', 'blob')}, where the grid has {said('porous-2d', 'grid')} and this "
            f"solver {said('porous-2d', OURS)}.",
        ]
    )


def _levels(row: Record) -> str:
    """On what the figures of a grid rest."""
    levels = len(row["tried"])
    if levels > 1:
        return f"the finest of {levels} levels"
    return (
        f"of one level of {row['cells']} cells alone: a finer one was expected to take longer than "
        "allowed, and was not tried"
    )


def _head(problem: str, row: Record) -> Sequence[str]:
    return [f"`{problem}`", str(row["dimension"]), _WAYS[row["rival"]]]


def _figures(row: Record) -> Sequence[str]:
    density, as_good = row["error_density"], row["seconds_as_good"]
    size = next(
        (f"{row[unit]:,} {unit}" for unit in ("samples", "particles", "cells") if row[unit]), ""
    )
    reached = "" if row["rival"] == OURS else "–" if as_good is None else _seconds(as_good)
    return [
        _short(row["error"]), "none" if density is None else _short(density),
        _seconds(row["seconds"]), reached, size,
    ]  # fmt: skip


def _seconds(value: float | None) -> str:
    """Two figures."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _short(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-").replace("e+00", "")
