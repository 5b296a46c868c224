"""Runs as an array job of Slurm, by the script for that in the project's folder slurm/."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, RunError
from .folder import RunFiles

_SCRIPT = Path("slurm") / "array.sbatch"


def script() -> Path:
    """The batch script, in the project's folder: HPC_WGF in the environment, or the present one.

    Errors: `InputError` where it is not there."""
    place = Path(os.environ.get("HPC_WGF") or ".").absolute() / _SCRIPT
    if not place.is_file():
        raise InputError(
            f"there is no {place}: submit from the project's folder, or say where it is by "
            "HPC_WGF in the environment"
        )
    return place


def submit(runs: Sequence[RunFiles], options: Sequence[str] = ()) -> str:
    """Submit one task for each run, all into their one folder; `options` are further ones of
    `hpc-wgf run`. The number of the job.

    Errors: `InputError` where there is no Slurm here or no script, `RunError` where the job is not
    taken."""
    folder = runs[0].folder.absolute()
    # The script runs in the project's folder.
    files = [str(each.file.absolute()) for each in runs]
    command = [
        "sbatch", "--parsable", f"--array=0-{len(runs) - 1}", "--output=/dev/null",
        str(script()), *files,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "HPC_WGF": str(script().parents[1]), "STORES": str(folder), "IN_PLACE": "1",
        "OPTIONS": " ".join(options),
    }  # fmt: skip
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(
            "there is no sbatch here: call this on a machine of the cluster, or leave out --slurm"
        ) from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise RunError(f"sbatch does not take the job: {said}")
    return done.stdout.strip().partition(";")[0]
