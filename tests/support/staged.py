"""A run whose map is frozen at given times, on ranks.

Usage: staged.py STORE UNTIL [KILL_AT_STEP [ODD]], resuming the run at STORE where there is one.
ODD: what the last rank alone does where a stage begins, "fails" or "differs" or "abstains"; with
"rule" stages of splines begin by the rule of `Stages`, and samples are Sobol points; with
"implicit" stages of gates of clusters of the samples do, steps are implicit, in the energy form,
and samples are drawn for every stage; with "accurate" samples and tolerances are found for an
accuracy; with "weighted" samples of a narrow core have importance weights; with "proximal" steps
are those of the method of implicit steps.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from watching import Watching

import hpc_wgf as wgf
from hpc_wgf.maps import BlockFlow, Composition

PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.25
)
OPTIONS = wgf.PWGFOptions(samples=400, rtol=1e-4, step_size=0.02, tolerance=3e-2)
TIMES = (0.05, 0.15)
RULE = wgf.Stages("auto", deformation=0.06)
RULED = {
    "rule": {"sampling": "sobol"},
    "accurate": {"sampling": "sobol", "accuracy": 0.05},
    "implicit": {"sampling": "sobol", "scheme": "ros2", "form": "energy", "redraw": "stage"},
}
"""Options of runs whose stages begin by the rule."""
MAPS = {
    "rule": lambda: wgf.AxisSpline(2, 8),
    "accurate": lambda: wgf.AxisSpline(2, 12),
    "implicit": lambda: wgf.SoftmaxGates(2, present=5),
}
"""Their maps."""
WEIGHTED = "weighted"
PROXIMAL = "proximal"
STEPS = wgf.ImplicitOptions(samples=64, step_size=0.05, rtol=1e-2, block=16)


CORE = wgf.Problem([wgf.InternalEnergy(3.0)], wgf.Gaussian(8, 0.0, 0.1), until=0.1)
"""A flow of which few samples of the start density carry the force."""


class FreezeAt:
    """At every one of `TIMES` a block, of another width each time, goes on."""

    def ends(self, state, look, *, folds):
        return round(state.time, 9) in TIMES

    def next_map(self, state):
        width = 5 + 4 * len(state.map.stages)
        block = BlockFlow(2, width, features=wgf.Features.AXIS, spread=2.5)
        return Composition(wgf.Affine(2), block) if width == 5 else block


class Odd(FreezeAt):
    """A staging that does not decide alike on all ranks."""

    def __init__(self, what: str) -> None:
        self.what = what

    def ends(self, state, look, *, folds):
        return self.what != "abstains" and super().ends(state, look, folds=folds)

    def next_map(self, state):
        if self.what == "fails":
            raise ValueError("staging has failed")
        return Composition(wgf.Affine(2), BlockFlow(2, 5, seed=7))


class KilledAt(Watching):
    """An observer that ends its process at a step, as a node that fails does."""

    def __init__(self, step: int) -> None:
        self.left = step

    def on_step(self, step) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def solve(
    path: Path, until: float = 0.25, *, kill_at: int = 0, odd: str = "", **options
) -> wgf.Solution:
    by_rule, output = odd in RULED, wgf.Output(path, every=0.05)
    watched = [KilledAt(kill_at)] if kill_at else []
    if odd == WEIGHTED:
        radial = wgf.RadialFlow(8, 8, centre=0.0, radius=2.0)
        return wgf.solve(
            CORE.replace(until=until), radial, OPTIONS, output,
            stages=wgf.Stages([0.05]), observers=watched, **options,
        )  # fmt: skip
    map = MAPS[odd]() if by_rule else Composition(wgf.Affine(2), BlockFlow(2, 8, spread=3.0))
    if odd == PROXIMAL:
        return wgf.solve(
            PROBLEM.replace(until=until), map, STEPS, output, stages=FreezeAt(),
            observers=watched, **options,
        )  # fmt: skip
    return wgf.solve(
        PROBLEM.replace(until=until),
        map,
        replace(OPTIONS, **RULED[odd]) if by_rule else OPTIONS,
        output,
        stages=RULE if by_rule else Odd(odd) if odd else FreezeAt(),
        observers=watched,
        **options,
    )


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    store = Path(sys.argv[1])
    with wgf.distributed("cpu") as communicator:
        begun = communicator.gather(store.exists())[0]
        last = communicator.rank == communicator.size - 1
        how = sys.argv[4] if len(sys.argv) > 4 else ""
        solve(
            store, float(sys.argv[2]), kill_at=int(sys.argv[3]) if len(sys.argv) > 3 else 0,
            odd=how if last or how in (*RULED, WEIGHTED, PROXIMAL) else "",
            communicator=communicator, resume=begun,
        )  # fmt: skip
