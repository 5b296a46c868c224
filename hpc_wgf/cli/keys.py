"""The keys of run files as tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ..config.keys import DescribedTable
from ..streams import output_console


def print_keys(tables: Sequence[DescribedTable]) -> None:
    """Print the keys of each table with type, default, unit and description."""
    console = output_console()
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(f"[bold]{escape(table.place)}[/bold]  {escape(table.description)}")
        shown = Table("key", "type", "default", "unit", "", box=None, header_style="dim")
        for key in table.keys:
            cells = (
                " or ".join([key.name, *key.other_names]),
                key.type,
                "required" if key.required else key.default_text or "–",
                key.unit or "",
                key.description,
            )
            shown.add_row(*map(escape, cells))
        console.print(shown)
