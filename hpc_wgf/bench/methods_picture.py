"""Error against seconds of every method, a panel for each problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullFormatter

from ..errors import InputError
from ..pictures.figure import picture
from .record import Row

_FORMATS = (".png", ".pdf", ".svg")


def check_path(path: Path) -> None:
    """Errors: `InputError` where no picture can be drawn to a path."""
    if path.suffix.lower() not in _FORMATS or not path.absolute().parent.is_dir():
        raise InputError(
            f"cannot draw to {path}: give a file in a folder that exists, with one of the endings "
            f"{', '.join(_FORMATS)}"
        )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw what was tried, a line for each method, to the file `path`. Errors: `InputError` where
    that cannot be written, and where nothing ran."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row["tried"]:
            groups.setdefault((row["problem"], row["dimension"]), []).append(row)
    names = list(dict.fromkeys(row["method"] for row in rows))
    panels = [_Panel(f"{name}, d = {d}", own, names) for (name, d), own in groups.items()]
    picture(panels or [_Panel("nothing ran", [], names)], columns=3).save(path)


class _Panel:
    def __init__(self, title: str, rows: Sequence[Row], names: Sequence[str]) -> None:
        self.title, self.rows, self.names = title, rows, names

    def __call__(self, axes: Any) -> None:
        for row in self.rows:
            _, errors, seconds = zip(*row["tried"], strict=True)
            colour = f"C{self.names.index(row['method'])}"
            axes.loglog(seconds, errors, "o-", color=colour, label=row["method"], markersize=4)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            if high > 10 * low:  # Labels between powers of ten would lie on one another.
                axis.set_minor_formatter(NullFormatter())
        axes.set_title(self.title, fontsize=9)
        axes.set_xlabel("seconds")
        axes.set_ylabel("error" if not self.rows else f"error ({self.rows[0]['figure']})")
        if self.rows:
            axes.legend(fontsize=7)
