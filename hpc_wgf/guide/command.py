"""`hpc-wgf guide`: the pages in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..streams import output_console
from .pages import NAMES, page, summary_line, without_comments

if TYPE_CHECKING:
    from rich.table import Table


def guide_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[PAGE]", help="a page; without one, the list of pages")
    ] = None,
) -> None:
    """Pages on the method, run files, clusters and limits. Example: `hpc-wgf guide tutorial`"""
    console = output_console()
    if name is None:
        console.print(_contents())
        return
    text = without_comments(page(name))
    if console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(text))
    else:
        print(text, end="")


def _contents() -> Table:
    """One line a page."""
    from rich.table import Table

    table = Table("page", "", box=None, header_style="bold", pad_edge=False)
    for name in NAMES:
        table.add_row(name, summary_line(name))
    return table
