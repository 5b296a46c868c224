"""The command `sweep`: runs at all combinations of settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import catalogue
from ..config.toml import with_settings
from ..errors import InputError, RunError
from ..fields import local_path, shown
from .arguments import AsJson, Device, Jobs, Quiet, Settings, Source, TrustStart
from .many_runs import carried_out, check_alone, end_stopped

if TYPE_CHECKING:
    from ..studies.folder import RunFiles
    from ..studies.sweep import Sweep


def sweep(
    name: Source,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="A.B=V,V", help="a key and its values; repeated, all combinations"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="of each combination, from that of the run file on")
    ] = 1,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="of the runs [runs/NAME-sweep]")
    ] = None,
    jobs: Jobs = 1,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="submit the runs as an array job, and return")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="also try again what has failed")] = False,
    look: Annotated[
        bool, typer.Option("--look", help="run nothing: table and pictures of what is there")
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option("--picture", metavar="X,Y", help="draw the figure Y over a key or figure X"),
    ] = None,
    device: Device = "auto",
    trust: TrustStart = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Solve a problem at all combinations of settings; called again, go on where it stopped.

    Finished runs are not run again, half ones go on bit for bit.

    Example: `hpc-wgf sweep ou-2d --grid method.rtol=1e-3,1e-4 --seeds 3`
    """
    from ..studies.folder import State, prepared
    from ..studies.grid import Axis, Grid
    from ..studies.sweep import Sweep

    check_alone("a sweep")
    tables = with_settings(catalogue.tables_of(name), settings or [])
    found = Grid.of(tables, [Axis.parsed(text) for text in grid or []], seeds)
    pairs = [_pair(text) for text in against or []]
    problem = tables.get("problem", {}).get("name", "unnamed")
    folder = local_path(out or Path("runs") / f"{problem}-sweep")
    before = Sweep.read(folder, found)
    for x, y in pairs:
        before.named(x)
        before.named(y)
    stopped = False
    options = ["--device", device, *(["--trust"] if trust else [])]
    if not look:
        prepared(folder, found.runs)
        wanted = [State.WAITING, State.HALF, *([State.FAILED] if retry else [])]
        todo = [run.files for run in before.of(*wanted)]
        if slurm and todo:
            _submit(todo, options)
            return
        stopped = carried_out(todo, options, jobs, quiet=quiet)
    after = Sweep.read(folder, found)
    drawn = _drawn(after, pairs)
    _tell(after, drawn, as_json=as_json)
    if stopped:
        end_stopped()
    if (failed := after.of(State.FAILED)) and not look:
        raise RunError(
            f"{len(failed)} of {len(after.outcomes)} runs have failed, listed above: what they "
            f"said is in {folder}/*.log; --retry tries them again"
        )


def _pair(text: str) -> tuple[str, str]:
    x, comma, y = (part.strip() for part in text.partition(","))
    if not comma or not x or not y:
        raise InputError(f"--picture {shown(text)} is not of the form X,Y: give two names")
    return x, y


def _submit(todo: Sequence[RunFiles], options: Sequence[str]) -> None:
    from ..studies.slurm import submit

    job = submit(todo, options)
    print(f"submitted {len(todo)} runs as job {job}; see how far they are by --look")


def _drawn(sweep: Sweep, pairs: Sequence[tuple[str, str]]) -> list[Path]:
    """The pictures that were asked for, or those that suggest themselves."""
    from ..studies.against import draw

    drawn = []
    for x, y in pairs or sweep.default_pictures():
        drawn.append(sweep.folder / f"{y}-over-{x}.png")
        draw(sweep, x, y, drawn[-1])
    return drawn


def _tell(sweep: Sweep, drawn: Sequence[Path], *, as_json: bool) -> None:
    from ..studies.table import print_sweep

    if as_json:
        print(json.dumps({**sweep.as_dict(), "pictures": [str(path) for path in drawn]}))
        return
    print_sweep(sweep)
    for path in drawn:
        print(f"drawn to {path}")
