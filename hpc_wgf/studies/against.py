"""Pictures of one figure of a sweep against another, or against a setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..pictures import Panel, picture
from .grid import Axis
from .sweep import Group, Sweep

_WIDE = 8.0  # ratio of the largest to the smallest value from which on an axis is logarithmic
_Point = tuple[float, list[float]]
"""Where a point is drawn, and the values there: of several seeds."""


def draw(sweep: Sweep, x: str, y: str, path: Path) -> None:
    """Draw the figure `y` of the finished runs against `x`, a key of the grid or another figure, to
    `path`: a line for every combination of the other settings, means over seeds with their range.

    Errors: `InputError` for names that are none, and where no run has both."""
    along, of = sweep.named(x), sweep.named(y)
    if isinstance(of, Axis):
        raise InputError(f"{y} is a key of the grid: the second of a picture is a figure")
    found = lines(sweep, along, of)
    if not found:
        raise InputError(f"no run that has finished has {y} and {x}: there is nothing to draw")
    picture([_panel(found, along, of)], side=4.5).save(path)


def lines(sweep: Sweep, along: Axis | str, of: str) -> dict[str, list[_Point]]:
    """The points of each line, by what tells it from the others."""
    found: dict[str, list[_Point]] = {}
    keys = {axis.key: axis.short for axis in sweep.axes if axis is not along}
    for group in sweep.groups():
        name = ", ".join(f"{keys[k]} = {_short(v)}" for k, v in group.settings.items() if k in keys)
        if points := _points(group, along, of):
            found.setdefault(name, []).extend(points)
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def _points(group: Group, along: Axis | str, of: str) -> list[_Point]:
    if isinstance(along, str):
        pairs = ((run.figure(along), run.figure(of)) for run in group.outcomes)
        return [(x, [y]) for x, y in pairs if x is not None and y is not None]
    values = group.values(of)
    return [(_place(along, group), values)] if values else []


def _place(axis: Axis, group: Group) -> float:
    """Where a value of the grid is drawn: at itself, or what is no number in the grid's order."""
    value = group.settings[axis.key]
    return float(value if axis.is_of_numbers else group.outcomes[0].planned.places[axis.key])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _panel(lines: dict[str, list[_Point]], along: Axis | str, of: str) -> Panel:
    def panel(plot: Any) -> None:
        for name, points in lines.items():
            places = [x for x, _ in points]
            means = [sum(values) / len(values) for _, values in points]
            below = [mean - min(v) for mean, (_, v) in zip(means, points, strict=True)]
            above = [max(v) - mean for mean, (_, v) in zip(means, points, strict=True)]
            style = "o" if isinstance(along, str) else "o-"
            plot.errorbar(
                places, means, [below, above], fmt=style, ms=4, lw=1, capsize=2, label=name or None
            )
        places = [x for points in lines.values() for x, _ in points]
        values = [v for points in lines.values() for _, each in points for v in each]
        if isinstance(along, Axis) and not along.is_of_numbers:
            plot.set_xticks(range(len(along.values)), along.values)
        elif _spread(places):
            plot.set_xscale("log")
        if _spread(values):
            plot.set_yscale("log")
        plot.set(xlabel=along if isinstance(along, str) else along.key, ylabel=of)
        if len(lines) > 1:
            plot.legend(fontsize=7)

    return panel


def _spread(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > _WIDE * min(values)
