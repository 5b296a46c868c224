"""The keys of run files, for people."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..config.keys import DescribedKey, DescribedTable


def print_keys(tables: Sequence[DescribedTable]) -> None:
    """One table of keys for each table of a run file."""
    console = Console()
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(f"[bold]{escape(table.place)}[/bold]  {escape(table.description)}")
        shown = Table("key", "type", "default", "unit", "", box=None, header_style="dim")
        for key in table.keys:
            cells = (
                " or ".join([key.name, *key.other_names]),
                key.type,
                _default(key),
                key.unit or "",
                key.description,
            )
            shown.add_row(*map(escape, cells))
        console.print(shown)


def _default(key: DescribedKey) -> str:
    """As one would write it in a run file."""
    if key.required:
        return "required"
    if key.default is None or isinstance(key.default, dict):
        return "–"
    return json.dumps(key.default, ensure_ascii=False)
