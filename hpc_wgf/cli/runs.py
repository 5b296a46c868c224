"""The commands `run` and `resume`: solve a problem, and continue a run that was stopped."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..allocator import keep_freed_memory
from ..config.toml import not_utf8
from ..errors import InputError, StoppedEarly
from ..fields import local_path
from ..log import LOG, logging_to
from .arguments import (
    Comm,
    Device,
    LogFile,
    MetricsFile,
    Quiet,
    Settings,
    Source,
    StorePath,
    Trust,
    TrustStart,
    Verbose,
)
from .importing import importing
from .telling import Telling

if TYPE_CHECKING:
    from ..config import RunFile
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
    trust: TrustStart = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
    metrics: MetricsFile = None,
) -> None:
    """Solve a problem and write the run to a new store.

    On Ctrl-C, SIGUSR1 or SIGTERM the run stops after the present step with status 75, to be
    resumed; a second Ctrl-C ends it at once.

    Example: `hpc-wgf run ou-10d --set method.samples=20000 --out ou.zarr`
    """
    with importing():
        from ..config import load
        from ..parallel import distributed

    telling = Telling(quiet, verbose, log, metrics)
    with logging_to(log, verbose=verbose), distributed(device, comm) as communicator:
        telling.check()
        run_file = load(name, settings or [], read_input=lambda: _standard_input(communicator))
        path = local_path(out or Path("runs") / f"{run_file.problem.name}.zarr")
        # Rank 0 decides for all: when the others look, its store may already be there.
        begun = go_on and communicator.gather(os.path.lexists(path))[0]
        _run(run_file, path, communicator, telling, resume=begun, trust=trust)


def resume(
    path: StorePath,
    until: Annotated[
        float | None, typer.Option(help="run to this time in place of the stored one")
    ] = None,
    trust: Trust = False,
    device: Device = "auto",
    comm: Comm = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
    metrics: MetricsFile = None,
) -> None:
    """Continue a run from the last state in its store, bit for bit as if never interrupted.

    Example: `hpc-wgf resume ou.zarr --until 3`
    """
    with importing():
        from ..config import parse_stored
        from ..parallel import agreed, distributed
        from ..store import open_run, refuse_damaged

    telling = Telling(quiet, verbose, log, metrics)
    with logging_to(log, verbose=verbose), distributed(device, comm) as communicator:
        telling.check()
        begun = open_run(path)
        path = begun.path
        begun.check_resumable()
        with agreed(communicator):
            if communicator.rank == 0:
                refuse_damaged(begun)
        stored = begun.configuration(
            "resume it with hpc_wgf.solve(problem, map, method, Output(path), resume=True)"
        )
        run_file = parse_stored(
            stored, trust=trust, store=path, instead="say --trust; or resume the run by its own "
            f"run file: hpc-wgf run FILE --resume --out {path}",
        )  # fmt: skip
        if until is not None:
            run_file = run_file.ending_at(until)
        _run(run_file, path, communicator, telling, resume=True, trust=trust)


def _standard_input(communicator: Communicator) -> str:
    """Standard input as rank 0 reads it, on all ranks: launchers give it to that one alone."""
    try:
        texts = communicator.gather(sys.stdin.read() if communicator.rank == 0 else "")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not valid TOML: {not_utf8(error)}") from error
    return str(texts[0])


def _run(
    run_file: RunFile, path: Path, communicator: Communicator, telling: Telling, *, resume: bool,
    trust: bool,
) -> None:  # fmt: skip
    """Solve and report; where the run was stopped on request, end the program with its status."""
    with importing():
        from ..config import build, imported_by
        from ..parallel import stop_request
        from ..report import print_summary
        from ..solution import solve

    keep_freed_memory()
    on = _begun(run_file.problem.name, path, communicator, resume=resume)
    with stop_request(speaks=communicator.rank == 0) as request, telling.warned():
        try:
            solution = solve(
                *build(run_file, trust=trust),
                replace(run_file.output, path=path),
                stages=run_file.stages,
                communicator=communicator,
                resume=resume,
                show_progress=telling.show_progress,
                observers=telling.observers(on, resumed=resume) if communicator.rank == 0 else (),
                configuration=run_file.stored(),
                stop=request,
            )
        except StoppedEarly as stopped:
            _end_stopped(str(stopped), communicator)
        if communicator.rank == 0 and not telling.quiet:
            print_summary(solution.summary)
            print(f"stored in {path}")
        if solution.summary.finished:
            if communicator.rank == 0:
                LOG.info(f"finished at t = {solution.time:.6g}, stored in {path}")
            return
        again = " --trust" if trust or imported_by(run_file) else ""
        go_on = f"hpc-wgf resume {shlex.quote(str(path))}{again}"
        last = f"stopped on request at t = {solution.time:.6g}; go on with: {go_on}"
        _end_stopped(last, communicator)


def _begun(name: str, path: Path, communicator: Communicator, *, resume: bool) -> str:
    """What runs on what, in words: a GPU that is left idle is to be seen."""
    from importlib.metadata import version

    from ..parallel import Resource, in_words

    on = in_words(communicator.gather(Resource.of(communicator.device)))
    if communicator.rank == 0:
        does = "goes on with" if resume else "runs"
        LOG.info(f"hpc-wgf {version('hpc-wgf')} {does} {name} on {on} into {path}")
    return f"{name} on {on}"


def _end_stopped(last: str, communicator: Communicator) -> NoReturn:
    """End the program with the status of a run that was stopped on request."""
    from ..parallel import status_of_stop

    if communicator.rank == 0:
        print(last, file=sys.stderr)
        LOG.info(last)
    communicator.close()
    raise SystemExit(status_of_stop(os.environ))
