"""A run of Deep JKO on ranks, with mobility, interaction and a density-dependent energy.

Usage: deep_jko_steps.py STORE UNTIL [AT [HOW]], going on with the run at STORE where there is one.
AT: at which iteration of the whole run, from 1, it is asked to stop ("stops", the default), or the
process ends as one that fails does ("dies").
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hpc_wgf as wgf
from hpc_wgf.interactions.kernels import Power

PROBLEM = wgf.Problem(
    [
        wgf.InteractionEnergy(Power(2), 2.0),
        wgf.FermiEntropy(0.1),
    ],
    wgf.Gaussian(1, covariance=0.25), until=0.15, mobility=wgf.Saturating(1.0),
)  # fmt: skip
OPTIONS = wgf.DeepJKOOptions(samples=256, step_size=0.05, iterations=6, width=4)


def asked(at: int, *, dies: bool) -> Callable[[], bool]:
    """A `stop` that says so when it is asked for the time `at`, or ends its process then."""
    times = 0

    def stop() -> bool:
        nonlocal times
        times += 1
        if times == at and dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return times == at

    return stop


def solve(path: Path, until: float = 0.15, **options) -> wgf.Solution:
    output = wgf.Output(path, every=0.1)
    return wgf.solve(PROBLEM.replace(until=until), wgf.Affine(1), OPTIONS, output, **options)


if __name__ == "__main__":
    store, at = Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    with wgf.distributed("cpu") as communicator:
        begun = communicator.gather(store.exists())[0]
        solve(
            store, float(sys.argv[2]), communicator=communicator, resume=begun,
            stop=asked(at, dies=sys.argv[4:] == ["dies"]),
        )  # fmt: skip
