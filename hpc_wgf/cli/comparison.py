"""The command `compare`: runs beside each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import AsJson, Trust

if TYPE_CHECKING:
    from ..results.comparison import Comparison


def compare(
    paths: Annotated[
        list[Path], typer.Argument(help="stores of runs, and records of `hpc-wgf report --json`")
    ],
    samples: Annotated[int, typer.Option(min=2, help="at which maps are compared")] = 4096,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Settings that differ, distances over time from the first run, errors and seconds.

    Example: `hpc-wgf compare ou.zarr finer.zarr`
    """
    from ..results.comparison import Compared, Comparison

    found = Comparison.of([Compared.of(path, trust=trust) for path in paths], samples=samples)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        _tell(found)


def _tell(found: Comparison) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ..streams import output_console

    console = output_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", *found.names):
        table.add_column(escape(name), overflow="fold")
    for rows in (found.settings, found.figures):
        for name, values in rows.items():
            table.add_row(escape(name), *(escape(_cell(value)) for value in values))
    console.print(table)
    if found.distance:
        console.print(
            f"(E|T − T'|²)^½ from {escape(found.names[0])} over common samples, at least W2:"
        )
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in ("t", *found.distance):
            table.add_column(escape(name), overflow="fold")
        for k, time in enumerate(found.times):
            table.add_row(f"{time:.9g}", *(f"{each[k]:.3e}" for each in found.distance.values()))
        console.print(table)
    for note in found.notes:
        console.print(f"[yellow]no distance: {escape(note)}[/yellow]")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
