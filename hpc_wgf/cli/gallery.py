"""The command `gallery`: many problems, one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, RunError
from ..fields import local_path
from .arguments import Device, Jobs, Quiet
from .many_runs import carried_out, check_alone, end_stopped


def gallery(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME[:A.B=VALUE]", help="named problems or run files [those of two cores]"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="of the runs, and of the page gallery.html")
    ] = Path("runs/gallery"),
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="also draw each to NAME.png there")
    ] = None,
    jobs: Jobs = 1,
    retry: Annotated[bool, typer.Option("--retry", help="also try again what has failed")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Solve named problems and make one page of them; called again, go on where it stopped.

    Example: `hpc-wgf gallery ou-2d porous-2d --out gallery`
    """
    from ..studies.folder import State, prepared
    from ..studies.gallery import PAGE, default_items, draw_all, named, write_gallery

    check_alone("a gallery")
    planned = [named(item) for item in names or default_items()]
    labels = [run.name for run in planned]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(f"{twice} is given twice: give each once")
    folder = local_path(out)
    drawn_to = None if pictures is None else local_path(pictures)
    files = prepared(folder, planned)
    wanted = (State.WAITING, State.HALF, *((State.FAILED,) if retry else ()))
    todo = [each for each in files if each.progress().state in wanted]
    stopped = carried_out(todo, ["--device", device], jobs, quiet=quiet)
    if drawn_to is not None:
        draw_all(files, drawn_to)
    write_gallery(list(zip(planned, files, strict=True)), folder / PAGE)
    print(f"written to {folder / PAGE}")
    if stopped:
        end_stopped()
    if failed := [each.name for each in files if each.progress().state is State.FAILED]:
        raise RunError(
            f"{len(failed)} of {len(files)} runs have failed: {', '.join(failed)}. The page says "
            "why; --retry tries them again"
        )
