"""The commands `report` and `check`: the figures of a stored run, and whether it is intact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import build, parse_stored
from ..errors import InputError, RunError
from ..fields import local_path
from .arguments import StorePath

if TYPE_CHECKING:
    from ..report import Summary
    from ..store import StoredRun


def report(
    path: StorePath,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="also draw samples, energy and error to this file")
    ] = None,
    exact_kl: Annotated[
        bool,
        typer.Option(
            "--exact-kl",
            help="also KL to the exact density of the flow, where that is a reversible "
            "Fokker-Planck flow: seconds to minutes for each stored time",
        ),
    ] = False,
    samples: Annotated[
        int | None, typer.Option(min=2, help="of the map, for --exact-kl [500]")
    ] = None,
    paths: Annotated[
        int | None, typer.Option(min=2, help="Langevin paths from each, an even number [1000]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of samples and paths [0]")] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="for --exact-kl, call the code of users that the store names"),
    ] = False,
) -> None:
    """Energies, errors and work of a stored run. Example: `hpc-wgf report ou.zarr --json`"""
    from ..report import Summary, draw, print_summary
    from ..store import open_run, refuse_damaged

    given = {"samples": samples, "paths": paths, "seed": seed}
    numbers = {name: number for name, number in given.items() if number is not None}
    if not exact_kl and (numbers or trust):
        raise InputError(f"--{next(iter(numbers), 'trust')} is for --exact-kl: say that too")
    stored = open_run(path)
    refuse_damaged(stored)
    summary = Summary.of_store(stored)
    if exact_kl:
        summary = _with_exact_kl(summary, stored, numbers, trust=trust)
    if picture is not None:
        draw(stored, local_path(picture))
    if as_json:
        print(summary.to_json())
    else:
        print_summary(summary)


def _with_exact_kl(
    summary: Summary, stored: StoredRun, numbers: Mapping[str, int], *, trust: bool
) -> Summary:
    """The summary with KL to the exact density of the flow at every stored time."""
    from ..analysis import Trajectory, no_reversible_flow

    tables = stored.configuration("ask in Python, Trajectory.of(path, spec).exact_divergence(t)")
    spec = build(parse_stored(tables, trust=trust, store=stored.path, instead="say --trust"))
    if reason := no_reversible_flow(spec.problem):
        return replace(summary, kl_exact_notes=[f"none is given, as {reason}"])
    run = Trajectory.of(stored.path, spec)
    found = [run.exact_divergence(time, **numbers) for time in summary.times]
    notes = [
        f"at t = {time:.9g}, {each.note}"
        for time, each in zip(summary.times, found, strict=True)
        if each.note
    ]
    return replace(
        summary,
        kl_exact=[each.value for each in found],
        kl_exact_error=[each.standard_error for each in found],
        kl_exact_notes=notes,
    )


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
