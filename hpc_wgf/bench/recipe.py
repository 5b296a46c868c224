"""Time to an error of 1 % of the displacement: the papers' settings against cheaper ones.

The settings of [PWGF 5.2] are: energy form, 5000 Euler steps of 1e-4, MINRES to 3e-4 without
preconditioner, a network of three layers of 100 features, 30 000 samples. A few of these steps are
measured and the time of all is extrapolated; nothing is claimed of the error that they would reach.
They are computed by this package, whose products are faster than those of the papers' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..methods.pwgf import PWGF
from ..output import Output
from ..parallel import Communicator
from ..profiling.timing import Times, seconds_of
from ..solution import Solution, solve
from .pwgf_problem import pwgf_problem
from .record import Row
from .steps import Steps

# The cheapest settings, found by trial, with which the error stays well below 1 % of the
# displacement for several seeds.
OURS: dict[str, tuple[str, ...]] = {
    "porous-2d": (
        "map=[{kind = 'affine'}, {kind = 'block', width = 8, scale = 2.0, spread = 0.5}]",
        "method.samples=1000", "method.rtol=1e-3", "method.tolerance=none",
        "method.scheme=heun", "method.step=0.1", "method.preconditioner=dense",
    ),
}  # fmt: skip
_ROWS = 5  # stored times, after the start, of the run with the cheaper settings


def rows(
    problems: Sequence[str], steps: int, paper: Sequence[str], ours: Sequence[str],
    rounds: int, communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem NAME, whose settings in the paper are the run file NAME-paper.

    `steps`: steps of the paper's settings that are measured in every round. `paper`, `ours`:
    further settings "a.b=value" for the two sides.
    """
    return [_row(name, steps, paper, ours, rounds, communicator) for name in problems]


def _row(
    name: str, steps: int, paper: Sequence[str], ours: Sequence[str], rounds: int,
    communicator: Communicator,
) -> Row:  # fmt: skip
    recipe, mine = _recipe(f"{name}-paper", paper, communicator), []
    for _ in range(rounds):
        recipe.measure(steps)
        mine.append(_our_run(name, ours, communicator))
    seconds = Times(tuple(taken for taken, _ in mine))
    error = max(worst for _, worst in mine)
    step = recipe.times
    whole = step.median * recipe.number
    return {
        "problem": name,
        "error": error,
        "seconds_paper": whole,
        "extrapolated": True,
        "seconds_ours": seconds.median,
        "ratio": whole / seconds.median,
        "seconds_a_step_paper": step.median,
        "steps_paper": recipe.number,
        "steps_measured": len(step.seconds),
        "products_a_step_paper": float(np.median(recipe.products)),
        "dtype_paper": str(recipe.runner.options.torch_dtype).removeprefix("torch."),
        "samples_paper": recipe.runner.options.samples,
    }


def _recipe(name: str, settings: Sequence[str], communicator: Communicator) -> Steps:
    problem, map, options = pwgf_problem(name, *settings)
    particles = 64 * communicator.size
    steps = Steps(PWGF.on(problem, map, options, communicator, particles=particles))
    steps.warm_up()
    return steps


def _our_run(name: str, settings: Sequence[str], communicator: Communicator) -> tuple[float, float]:
    """Seconds of a whole call of `solve`, and the largest map error over displacement at its stored
    times."""
    problem, map, options = pwgf_problem(name, *OURS.get(name, ()), *settings)
    every = (problem.until - problem.start_time) / _ROWS
    output = Output(every=every)
    found: list[Solution] = []
    seconds = seconds_of(
        lambda: found.append(solve(problem, map, options, output, communicator=communicator)),
        communicator.device,
    )
    errors = found[0].summary.map_error_relative or [None]
    return seconds, max((each for each in errors if each is not None), default=float("nan"))
