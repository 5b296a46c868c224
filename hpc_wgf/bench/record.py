"""Rows of a benchmark: shown as a table, printed as JSON, written to a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from ..profiling.machine import described, versions
from ..streams import output_console

Row = dict[str, Any]
"""Figures of one measurement by name."""


def record(
    rows: Sequence[Row], configuration: Mapping[str, Any], device: torch.device,
    *, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Print the rows, as a table or as JSON, and write them to the file `out` if one is given.

    The file also has the configuration, the versions of the packages, and the machine.
    """
    rows = [{key: _plain(value) for key, value in row.items()} for row in rows]
    if out is not None:
        everything = {
            "configuration": {key: _plain(value) for key, value in configuration.items()},
            "versions": versions(),
            "machine": described(device),
            "rows": rows,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(everything, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(rows, allow_nan=False))
    else:
        output_console().print(_table(rows))


def _plain(value: Any) -> Any:
    """What JSON can hold; None for what is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | str | None) else str(value)


def _table(rows: Sequence[Row]) -> Table:
    """A line for each row, or, where there are more keys than rows, for each key. Lists are left to
    the JSON."""
    listed = {key for row in rows for key, value in row.items() if isinstance(value, list)}
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if key not in listed]
    lines = [[_cell(row.get(key)) for key in keys] for row in rows]
    if len(rows) >= len(keys):
        return _filled(keys, lines)
    lines = [[key, *(line[k] for line in lines)] for k, key in enumerate(keys)]
    return _filled(lines[0], lines[1:]) if lines else _filled(keys, [])


def _filled(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        table.add_row(*line)
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return format(value, ".3g")
    return "" if value is None else str(value)
