"""The commands `list`, `show` and `keys`: named problems, their run files, keys of run files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..config import catalogue
from .arguments import AsJson, NamedProblem


def list_problems(as_json: AsJson = False) -> None:
    """List the named problems. Example: `hpc-wgf list`"""
    problems = catalogue.listed()
    if as_json:
        print(json.dumps([problem._asdict() for problem in problems], ensure_ascii=False))
        return
    from rich.table import Table

    from ..streams import output_console

    table = Table("name", "dim", "until", "", box=None, header_style="bold", pad_edge=False)
    for each in problems:
        table.add_row(each.name, str(each.dimension), f"{each.until:g}", each.title)
    output_console().print(table)


def show(name: NamedProblem) -> None:
    """Print the run file of a named problem. Example: `hpc-wgf show ou-10d > mine.toml`"""
    print(catalogue.text(name), end="")


def keys(
    table: Annotated[
        str | None, typer.Argument(help="as method, map.block or problem.energy; all if left out")
    ] = None,
    as_json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--json-schema", help="a JSON schema of run files, for editors")
    ] = False,
) -> None:
    """List the keys of run files: type, default, unit, meaning.

    Example: `hpc-wgf keys map.block`, or `hpc-wgf keys --json-schema > run-file.json`
    """
    from ..config.keys import described
    from ..config.schema import json_schema
    from .keys import print_keys

    if schema:
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return
    tables = described(table)
    if as_json:
        print(json.dumps([each.as_dict() for each in tables], indent=2, ensure_ascii=False))
        return
    print_keys(tables)
