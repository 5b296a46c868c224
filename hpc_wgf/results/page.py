"""One self-contained HTML page about a run, or about several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ..pictures import LARGEST, OVER_TIME, Panel, Subject, chosen_axes, frames
from ..pictures.clouds import marginal
from ..report import warnings_of
from .comparison import Compared, Comparison, flattened
from .html import check_page, document, figures, pictures, save_page, table
from .run import Run

_OVER_TIME = {
    "Error, estimate and bound": ("error",),
    "Energy and its law, projection error δ": ("energy", "delta"),
    "Steps, and time per part": ("steps",),
}


def write_page(runs: Sequence[Run], path: Path) -> None:
    """Write the page about `runs` to a new or present file at `path`.

    Errors: `InputError` where it cannot be a file of HTML, `RunError` where it cannot be written.
    """
    check_page(path)
    save_page(page(runs), path)


def page(runs: Sequence[Run]) -> str:
    """The page, which refers to nothing outside of itself."""
    title = ", ".join(dict.fromkeys(str(run.attributes["problem"]) for run in runs))
    both = "" if len(runs) < 2 else _compared(runs)
    sections = "".join(f"<section>{''.join(_section(run))}</section>" for run in runs)
    return document(title, f'{both}<div class="runs" style="--runs:{len(runs)}">{sections}</div>')


def _section(run: Run) -> Iterator[str]:
    """Everything about one run."""
    subject = run.subject
    yield f"<h2>{escape(run.path.name)}</h2>"
    yield table(figures(run.summary, run))
    notes = [escape(warning) for warning in warnings_of(run.summary)]
    if subject.trajectory is None:
        notes.append(f"Maps cannot be evaluated, so no densities are drawn: {subject.why_not}")
    yield "".join(f'<div class="warning">{note}</div>' for note in notes)
    yield from pictures(_of_clouds(subject), _clouds(subject))
    if subject.dimension > 1:
        yield from pictures("Marginals at the last time", _marginals(subject))
    for title, kinds in _OVER_TIME.items():
        yield from pictures(title, [panel for kind in kinds for panel in OVER_TIME[kind](subject)])
    yield "<h3>Configuration</h3>" + _settings(run)
    machine = {"ranks": run.attributes["ranks"], **run.attributes["versions"]}
    yield "<h3>Machine</h3>" + table(machine)


def _of_clouds(subject: Subject) -> str:
    """What the clouds show, in words."""
    if subject.trajectory is None:
        return "Samples"
    known = subject.trajectory.spec.problem.exact is not None
    words = "Samples and level sets, computed (blue)" + (" and exact (dashed)" if known else "")
    return words + (", smoothed from samples" if subject.dimension > 2 else "")


def _clouds(subject: Subject) -> list[Panel]:
    return frames(subject, "clouds", subject.default_times(4), LARGEST)


def _marginals(subject: Subject) -> list[Panel]:
    time = subject.default_times()[-1]
    return [marginal(subject, time, axis) for axis in chosen_axes(subject.run, LARGEST, 3)]


def _settings(run: Run) -> str:
    tables = run.attributes["configuration"] or run.attributes["objects"]
    lines = [f"{key} = {value}" for key, value in flattened(tables).items() if value is not None]
    return f"<details><summary>all keys</summary><pre>{escape(chr(10).join(lines))}</pre></details>"


def _compared(runs: Sequence[Run]) -> str:
    """What tells the runs apart, as a table."""
    found = Comparison.of([Compared.of_run(run) for run in runs])
    names = [Path(name).name for name in found.names]
    rows = [["", *names]]
    rows += [[key, *map(_cell, values)] for key, values in found.settings.items()]
    rows += [[key, *map(_cell, values)] for key, values in found.figures.items()]
    for words, pick in (("last", lambda each: each[-1]), ("largest", max)):
        each = [found.distance.get(name) for name in found.names]
        values = [_cell(pick(distances)) if distances else "" for distances in each]
        if any(values):
            rows.append([f"map distance from {names[0]}, {words}", *values])
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<h2>Compared</h2><div class="wide"><table>{cells}</table></div>'


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
