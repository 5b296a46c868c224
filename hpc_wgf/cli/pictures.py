"""The command `picture`: a picture or a film of a stored run."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, WgfWarning
from ..fields import local_path
from .arguments import StorePath, Trust


def picture(
    path: StorePath,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the picture to make: .png, .pdf or .svg")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="clouds, marginals, pairs, density, psi, moments, energy, error, delta or steps"
        ),
    ] = "clouds",
    axes: Annotated[
        str, typer.Option(metavar="I,J|largest", help="numbers from 1, or those of largest motion")
    ] = "largest",
    times: Annotated[
        str | None, typer.Option(metavar="T,T", help="any times of the run [first, middle, last]")
    ] = None,
    movie: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the film to make: .gif, or .mp4 by ffmpeg")
    ] = None,
    trust: Trust = False,
) -> None:
    """Draw a stored run: samples with level sets of its densities, or figures over time.

    Example: `hpc-wgf picture ou.zarr --kind density --times 0.1,0.5 --out ou.png`
    """
    from ..pictures import drawn, parsed_axes
    from ..pictures import movie as film
    from ..results import open_run
    from ..store import refuse_damaged

    if out is None and movie is None:
        raise InputError("say where to draw to: --out FILE or --movie FILE")
    chosen, moments = parsed_axes(axes), None if times is None else _times(times)
    run = open_run(path, trust=trust)
    refuse_damaged(run)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", WgfWarning)
        if out is not None:
            drawn(run.subject, kind, moments, chosen).save(local_path(out))
        if movie is not None:
            film(run.subject, local_path(movie), kind, chosen, moments)
    for line in dict.fromkeys(str(each.message) for each in told):
        print(f"warning: {line}", file=sys.stderr)


def _times(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"times are {text!r:.60}: expected numbers, as 0.1,0.5") from error
