"""The commands `run` and `resume`: solve a problem, and continue a run that was stopped."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import RunFile, build, imported_by, load, parse_stored
from .arguments import Comm, Device, Settings, Source, StorePath

if TYPE_CHECKING:
    from ..parallel import Communicator


def run(
    name: Source,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option(help="the store to make; must not exist [runs/NAME.zarr]")
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--resume", help="if the store holds this run already, go on with it")
    ] = False,
    device: Device = "auto",
    comm: Comm = "auto",
) -> None:
    """Solve a problem and write the run to a new store.

    On SIGUSR1 or SIGTERM the run stops after the present step with status 75, to be resumed.

    Example: `hpc-wgf run ou-10d --set method.samples=20000 --out ou.zarr`
    """
    from ..parallel import distributed

    with distributed(device, comm) as communicator:
        run_file = load(name, settings or [], read_input=lambda: _standard_input(communicator))
        path = out or Path("runs") / f"{run_file.problem.name}.zarr"
        # Rank 0 decides for all: when the others look, its store may already be there.
        begun = go_on and communicator.gather(os.path.lexists(path))[0]
        _run(run_file, path, communicator, resume=begun)


def resume(
    path: StorePath,
    until: Annotated[
        float | None, typer.Option(help="run to this time in place of the stored one")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="import and call the code of users that the store names")
    ] = False,
    device: Device = "auto",
    comm: Comm = "auto",
) -> None:
    """Continue a run from the last state in its store, bit for bit as if never interrupted.

    Example: `hpc-wgf resume ou.zarr --until 3`
    """
    from ..parallel import distributed
    from ..store import open_run

    with distributed(device, comm) as communicator:
        begun = open_run(path)
        begun.check_resumable()
        stored = begun.configuration(
            "resume it with hpc_wgf.solve(problem, map, method, Output(path), resume=True)"
        )
        run_file = parse_stored(
            stored, trust=trust, store=path, instead="say --trust; or resume the run by its own "
            f"run file: hpc-wgf run FILE --resume --out {path}",
        )  # fmt: skip
        if until is not None:
            run_file = run_file.ending_at(until)
        _run(run_file, path, communicator, resume=True)


def _standard_input(communicator: Communicator) -> str:
    """Standard input as rank 0 reads it, on all ranks: launchers give it to that one alone."""
    texts = communicator.gather(sys.stdin.read() if communicator.rank == 0 else "")
    return str(texts[0])


def _run(run_file: RunFile, path: Path, communicator: Communicator, *, resume: bool) -> None:
    """Solve and report; where the run was stopped on request, end the program with its status."""
    from ..parallel import status_of_stop, stop_request
    from ..report import print_summary
    from ..solution import solve

    with stop_request() as request:
        solution = solve(
            *build(run_file),
            replace(run_file.output, path=path),
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
            trust = " --trust" if imported_by(run_file) else ""
            print(
                f"stopped on request at t = {solution.time:.6g}; go on with: "
                f"hpc-wgf resume {path}{trust}",
                file=sys.stderr,
            )
        communicator.close()
        raise SystemExit(status_of_stop(os.environ))
