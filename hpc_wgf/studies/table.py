"""The table of a sweep in a terminal."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ..streams import output_console
from .folder import State
from .sweep import Group, Sweep


def print_sweep(sweep: Sweep) -> None:
    """Print a line for every combination of settings, means and standard deviations over its
    seeds, and below what failed and why."""
    console = output_console()
    known = sweep.known()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (*(axis.key for axis in sweep.axes), "runs", *known.values()):
        table.add_column(escape(name), overflow="fold")
    for group in sweep.groups():
        cells = [*map(_cell, group.settings.values()), _states(group)]
        table.add_row(*map(escape, [*cells, *(_mean(group.values(key)) for key in known)]))
    console.print(table)
    for run in sweep.of(State.FAILED):
        reason = escape(run.progress.reason or "")
        console.print(f"[red]failed[/red] {escape(run.planned.name)}: {reason}")


def _states(group: Group) -> str:
    states = Counter(outcome.progress.state for outcome in group.outcomes)
    return ", ".join(f"{states[state]} {state}" for state in State if states[state])


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, same = _cell(statistics.fmean(values)), len(set(values)) == 1
    return mean if same else f"{mean} ± {statistics.stdev(values):.1g}"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
