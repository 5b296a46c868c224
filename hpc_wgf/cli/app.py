"""All commands in one program."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from ..bench.cli import bench
from ..errors import InputError, error_line
from ..guide.command import guide_command
from ..streams import settle_streams
from .comparison import compare
from .consolidation import consolidate
from .gallery import gallery
from .pictures import picture
from .plan import plan
from .problems import keys, list_problems, show
from .runs import resume, run
from .samples import sample
from .stores import check_store, report
from .sweep import sweep
from .usage import UsageError, usage_line

_EPILOG = """
**Examples**

`hpc-wgf list` — the named problems

`hpc-wgf run ou-10d --out ou.zarr` — solve one, then `hpc-wgf report ou.zarr`

`hpc-wgf show ou-10d > mine.toml` — a run file to change, then `hpc-wgf run mine.toml`

`hpc-wgf keys method` — what a run file can say, with types, defaults and units

`hpc-wgf run ou-10d --set method.samples=20000 --set problem.until=1` — change single values

`hpc-wgf plan ou-10d --nodes 4 --gpus-per-node 8 --device h100` — memory, traffic, seconds a step

`torchrun --nproc-per-node 2 -m hpc_wgf run ou-10d` — the same run on two ranks

`mpirun -n 2 python -m hpc_wgf run ou-10d` — the same by MPI
"""

app = typer.Typer(
    name="hpc-wgf",
    help="Wasserstein gradient flows by parameterised push-forward maps, on many processors.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hpc-wgf {version('hpc-wgf')}")
        raise typer.Exit


@app.callback()
def launched(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="and nothing else"),
    ] = False,
    local_rank: Annotated[
        int | None, typer.Option("--local_rank", "--local-rank", hidden=True)
    ] = None,
) -> None:
    """Options in front of a command."""
    # The DeepSpeed launcher gives every rank the option local_rank, which LOCAL_RANK says already.
    return


app.command("list")(list_problems)
app.command()(show)
app.command()(keys)
app.command()(run)
app.command()(resume)
app.command()(report)
app.command("check")(check_store)
app.command()(compare)
app.command()(picture)
app.command()(sample)
app.command()(consolidate)
app.command()(sweep)
app.command()(gallery)
app.command()(plan)
app.command("guide")(guide_command)
app.add_typer(bench, name="bench")


def main() -> None:
    """Entry point of `hpc-wgf`.

    An error ends the program with one line, and with status 2 for a wrong command line and
    `InputError`, else 1.
    """
    settle_streams()
    try:
        status = app(prog_name="hpc-wgf", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        _end(usage_line(error), 2, error)
    except Exception as error:
        _end(error_line(error), 2 if isinstance(error, InputError) else 1, error)
    raise SystemExit(status)


def _end(line: str, status: int, error: Exception) -> NoReturn:
    if line:
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status) from error
