"""Programs of benchmarks on so many ranks, launched by one process that waits for their figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from ..errors import InputError, RunError
from ..parallel import Launcher, find_place
from .record import Row

_LAUNCHER = (
    "-m", "torch.distributed.run", "--nnodes", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint",
    "localhost:0",
)  # fmt: skip


def refuse_launched() -> None:
    """Errors: `InputError` where this process was itself started by a launcher."""
    if find_place(os.environ).launcher is not Launcher.NONE:
        raise InputError("ranks are launched by this benchmark: start it as one process")


def launched(program: str, ranks: int, arguments: Sequence[str], *, patience: float) -> Row:
    """The JSON object in the last line that a module of `hpc_wgf.bench` prints on rank 0, started
    on so many `ranks`. `patience`: seconds after which they are ended.

    Errors: `RunError` where the launch fails."""
    try:
        done = subprocess.run(
            [sys.executable, *_LAUNCHER, "--nproc-per-node", str(ranks), "-m",
             f"hpc_wgf.bench.{program}", *arguments],
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONSAFEPATH": "1"},
            capture_output=True, text=True, timeout=patience, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise RunError(f"{ranks} ranks did not end within {patience:g} s") from late
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        cause = said[0] if said else done.stderr[-1000:]
        raise RunError(f"{ranks} ranks ended with status {done.returncode}: {cause}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
