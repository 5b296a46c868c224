"""The commands `report` and `check`: the figures of a stored run, and whether it is intact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import RunError
from ..fields import local_path
from .arguments import StorePath


def report(
    path: StorePath,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="also draw samples, energy and error to this file")
    ] = None,
) -> None:
    """Energies, errors and work of a stored run. Example: `hpc-wgf report ou.zarr --json`"""
    from ..report import Summary, draw, print_summary
    from ..store import open_run, refuse_damaged

    stored = open_run(path)
    refuse_damaged(stored)
    summary = Summary.of_store(stored)
    if picture is not None:
        draw(stored, local_path(picture))
    if as_json:
        print(summary.to_json())
    else:
        print_summary(summary)


def check_store(
    path: StorePath,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget-checkpoint",
            help="first take a lost or damaged checkpoint away: resumed, the run goes on from its "
            "last row",
        ),
    ] = False,
) -> None:
    """Check that every committed row of a store can be read and is intact; status 1 where not.

    Example: `hpc-wgf check ou.zarr`
    """
    from ..store import check, forget_checkpoint, open_run

    if forget:
        forget_checkpoint(path)
    stored = open_run(path)
    flaws = check(stored)
    for flaw in flaws:
        print(f"{path}: {flaw}")
    if flaws:
        raise RunError(
            f"damaged: {path} has {len(flaws)} flaws, listed above: restore these arrays from a "
            "copy, or run anew into another store"
        )
    print(f"{path}: {stored.rows} rows and {stored.steps} steps, all whole")
