"""The command line: list, show, run, resume, report, check, plan, guide; bench has its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from . import build, catalogue, config, parsing
from .bench.cli import bench
from .errors import InputError, RunError, WgfError
from .guide.command import guide_command
from .parallel import Communicator, distributed, status_of_stop, stop_request
from .planning.command import plan_command
from .report import Summary, draw, print_summary
from .solve import solve
from .store import check, open_run

_EPILOG = """
**Examples**

`hpc-wgf list` — the named problems

`hpc-wgf run ou-10d --out ou.zarr` — solve one, then `hpc-wgf report ou.zarr`

`hpc-wgf show ou-10d > mine.toml` — a run file to change, then `hpc-wgf run mine.toml`

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
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench, name="bench")
app.command("plan")(plan_command)
app.command("guide")(guide_command)
_NAME = typer.Argument(metavar="NAME|FILE.toml", help="a named problem, or a run file")
_COMM = typer.Option(
    help="auto, torch or mpi; auto takes MPI under mpirun, torch.distributed under torchrun, srun "
    "and deepspeed"
)
_DEVICE = typer.Option(help="auto, cpu or cuda; auto takes a GPU where there is one")


@app.callback()
def launched(
    local_rank: Annotated[
        int | None, typer.Option("--local_rank", "--local-rank", hidden=True)
    ] = None,
) -> None:
    # The DeepSpeed launcher hands every rank this option; LOCAL_RANK says the same.
    return


@app.command("list")
def list_problems() -> None:
    """Named problems. Example: `hpc-wgf list`"""
    table = Table("name", "dim", "until", "", box=None, header_style="bold", pad_edge=False)
    for name in catalogue.names():
        problem = catalogue.load(name).problem
        table.add_row(name, str(problem.dimension), f"{problem.until:g}", problem.title)
    Console().print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="a named problem")]) -> None:
    """The run file of a named problem. Example: `hpc-wgf show ou-10d > mine.toml`"""
    print(catalogue.text(name), end="")


@app.command()
def run(
    name: Annotated[str, _NAME],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=VALUE", help="change one value; may be repeated"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the store to make; must not exist [runs/NAME.zarr]")
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--resume", help="if the store holds this run already, go on with it")
    ] = False,
    device: Annotated[str, _DEVICE] = "auto",
    comm: Annotated[str, _COMM] = "auto",
) -> None:
    """Solve a problem into a new store.

    On SIGUSR1 or SIGTERM the run stops after the present step, status 75, and can be resumed.

    Example: `hpc-wgf run ou-10d --set method.samples=20000 --out ou.zarr`
    """
    with distributed(device, comm) as communicator:
        run_file = catalogue.load(name, settings or [])
        path = out or Path("runs") / f"{run_file.problem.name}.zarr"
        # As one rank sees the folder: by now others may find the one that it makes.
        begun = go_on and communicator.gather(os.path.lexists(path))[0]
        _run(run_file, path, communicator, resume=begun)


@app.command()
def resume(
    path: Annotated[Path, typer.Argument(help="the store of a run")],
    until: Annotated[
        float | None, typer.Option(help="run to this time in place of the stored one")
    ] = None,
    device: Annotated[str, _DEVICE] = "auto",
    comm: Annotated[str, _COMM] = "auto",
) -> None:
    """Go on from the last committed row, bit for bit as if never interrupted.

    Example: `hpc-wgf resume ou.zarr --until 3`
    """
    with distributed(device, comm) as communicator:
        stored = open_run(path).attributes["configuration"]
        if stored is None:
            raise InputError(
                f"{path} was written from Python objects, which a store cannot hold: resume it "
                "with hpc_wgf.solve(problem, map, method, Output(path), resume=True)"
            )
        run_file = parsing.parse(_extended(stored, until))
        _run(run_file, path, communicator, resume=True)


@app.command()
def report(
    path: Annotated[Path, typer.Argument(help="the store of a run")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="also draw samples, energy and error to this file")
    ] = None,
) -> None:
    """What a stored run says of itself. Example: `hpc-wgf report ou.zarr --json`"""
    stored = open_run(path)
    summary = Summary.of_store(stored)
    if picture is not None:
        draw(stored, picture)
    if as_json:
        print(summary.to_json())
    else:
        print_summary(summary)


@app.command("check")
def check_store(path: Annotated[Path, typer.Argument(help="the store of a run")]) -> None:
    """Whether every committed row of a store can be read and is whole; status 1 where not.

    Example: `hpc-wgf check ou.zarr`
    """
    stored = open_run(path)
    flaws = check(stored)
    for flaw in flaws:
        print(f"{path}: {flaw}")
    if flaws:
        raise RunError(
            f"{path} has {len(flaws)} flaws, listed above: restore these arrays from a copy, or "
            "run anew into another store"
        )
    print(f"{path}: {stored.rows} rows and {stored.steps} steps, all whole")


def _extended(stored: Mapping[str, Any], until: float | None) -> dict[str, Any]:
    tables = dict(stored)
    if until is not None:
        tables["problem"] = {**tables["problem"], "until": until}
    return tables


def _run(run_file: config.RunFile, path: Path, communicator: Communicator, *, resume: bool) -> None:
    """Solve and report. Ends the program with a status of its own where the run was stopped."""
    with stop_request() as request:
        solution = solve(
            *build.objects(run_file),
            build.output(run_file.output, path),
            communicator=communicator,
            resume=resume,
            show_progress=True,
            configuration=run_file.model_dump(mode="json"),
            stop=request,
        )
        if communicator.rank == 0:
            print_summary(solution.summary)
            print(f"stored in {path}")
        if solution.summary.finished:
            return
        if communicator.rank == 0:
            print(
                f"stopped on request at t = {solution.time:.6g}; go on with: hpc-wgf resume {path}",
                file=sys.stderr,
            )
        communicator.close()
        raise SystemExit(status_of_stop(os.environ))


def main() -> None:
    """Entry point: errors of ours end with one line and status 2 or 1."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # a user's own "module:name" beside the run file
    try:
        app()
    except WgfError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error
