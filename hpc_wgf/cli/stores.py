"""The commands `report` and `check`: the figures of a stored run, and whether it is intact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, RunError
from ..fields import local_path
from .arguments import StorePath


def report(
    stores: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="the store of a run, for --html of several")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="also draw samples, energy and error to this file")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="also write one page about the runs to this file")
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
    bound: Annotated[
        bool,
        typer.Option(
            "--bound",
            help="bound and estimate of the error from the stored rows alone, for runs "
            "without (output.bound = false)",
        ),
    ] = False,
    corrected: Annotated[
        bool,
        typer.Option(
            "--corrected", help="also figures of the samples moved by the error's estimate"
        ),
    ] = False,
    expectations: Annotated[
        bool,
        typer.Option(
            "--expectations",
            help="also means, variances and shares of the modes of the stationary density, by "
            "importance weights",
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="for figures and pages that are computed anew, call the code of users that the "
            "store names",
        ),
    ] = False,
) -> None:
    """Energies, errors and work of a stored run. Example: `hpc-wgf report ou.zarr --json`"""
    from ..report import Summary, print_summary
    from ..store import open_run, refuse_damaged

    given = {"samples": samples, "paths": paths, "seed": seed}
    numbers = {name: number for name, number in given.items() if number is not None}
    if not exact_kl and numbers:
        raise InputError(f"--{next(iter(numbers))} is for --exact-kl: say that too")
    further = exact_kl or bound or corrected or expectations
    if trust and not further and html is None:
        raise InputError(
            "--trust is for --exact-kl, --bound, --corrected, --expectations or --html: say one of "
            "them too"
        )
    if len(stores) > 1 and (html is None or as_json or picture is not None or further):
        raise InputError(
            f"{len(stores)} stores were given: that is for --html alone; see also `hpc-wgf compare`"
        )
    if html is not None:
        _write_page(stores, local_path(html), trust=trust)
    if len(stores) > 1:
        return
    stored = open_run(stores[0])
    refuse_damaged(stored)
    summary = Summary.of_store(stored)
    if further:
        from ..analysis import (
            Trajectory,
            with_bound,
            with_correction,
            with_exact_kl,
            with_expectations,
        )
        from ..config import build, parse_stored

        tables = stored.configuration("ask in Python, see hpc_wgf.analysis.Trajectory")
        run_file = parse_stored(tables, trust=trust, store=stored.path, instead="say --trust")
        spec = build(run_file, trust=trust)
        run = Trajectory.of(stored.path, spec)
        summary = with_exact_kl(summary, run, **numbers) if exact_kl else summary
        summary = with_bound(summary, run) if bound else summary
        summary = with_correction(summary, run) if corrected else summary
        summary = with_expectations(summary, run) if expectations else summary
    if picture is not None:
        from ..pictures import draw  # matplotlib takes half a second, which only a picture is worth

        draw(stored, local_path(picture))
    if as_json:
        print(summary.to_json())
    else:
        print_summary(summary)


def _write_page(paths: list[Path], html: Path, *, trust: bool) -> None:
    from ..results import open_run
    from ..results.page import write_page
    from ..store import refuse_damaged

    runs = [open_run(path, trust=trust) for path in paths]
    for run in runs:
        refuse_damaged(run)
    write_page(runs, html)


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
