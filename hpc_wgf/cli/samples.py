"""The command `sample`: new samples of a stored run in a file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..fields import local_path
from .arguments import AsJson, Comm, Device, StorePath, Trust


def sample(
    path: StorePath,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="the file to make: .zarr, .npz, .nc or .parquet")
    ],
    count: Annotated[int, typer.Option("-n", "--samples", min=1, help="how many, of all ranks")],
    time: Annotated[
        float | None, typer.Option(help="any time of the run [the last stored one]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="of the samples")] = 0,
    trust: Trust = False,
    as_json: AsJson = False,
    device: Device = "auto",
    comm: Comm = "auto",
) -> None:
    """Draw new samples of a stored run at a time, with densities and scores; the same on any ranks.

    Example: `hpc-wgf sample ou.zarr --time 0.5 -n 100000 --out new.npz`
    """
    from ..parallel import agreed, distributed
    from ..results import open_run
    from ..results.sample_files import write_samples
    from ..store import refuse_damaged

    with distributed(device, comm) as communicator:
        with agreed(communicator):
            out = local_path(out)
            run = open_run(path, trust=trust)
            if communicator.rank == 0:
                refuse_damaged(run)
            trajectory = run.trajectory
        moment = trajectory.times[-1] if time is None else time
        drawn = write_samples(trajectory, moment, count, seed, out, communicator)
        if drawn is None:
            return
        if as_json:
            print(json.dumps(asdict(drawn)))
            return
        folded = f", the map has folded at {drawn.folded}" if drawn.folded else ""
        if drawn.interpolation_error:
            folded += (
                f"\nbetween stored rows: interpolated, wrong by up to "
                f"{drawn.interpolation_error:.1g} in units of x"
            )
        density = "samples alone tell the start: log densities and scores are not a number"
        if math.isfinite(drawn.mean_log_density):
            density = f"mean log density {drawn.mean_log_density:.6g} ± {drawn.standard_error:.1g}"
        print(
            f"{drawn.samples} samples of {run.attributes['problem']} at t = {drawn.time:g} on "
            f"{communicator.size} rank(s) in {drawn.seconds:.3g} s, "
            f"{drawn.samples / drawn.seconds:.3g} a second\n"
            f"{density}{folded}\n"
            f"stored in {out}"
        )
