"""Errors of whole runs on independent samples and on Sobol points, as their number grows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from ..choices import Sampling
from ..errors import RunError
from ..parallel import Communicator
from ..stages import Stages
from .pwgf_problem import pwgf_problem
from .record import Row
from .whole_run import Contender

PROBLEMS = ("heat-merging-1d", "styblinski-tang-2d", "porous-5d", "ou-10d")
NUMBERS = (1024, 4096, 16_384)


def rows(
    problems: Sequence[str], numbers: Sequence[int], settings: Sequence[str], rounds: int,
    stored: int, communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem and number n of samples: errors over the displacement, the largest
    at a stored time, medians of `rounds` seeds, and how many runs ended in an error.

    `problems`, `numbers`: those of this module where empty. `settings`: "a.b=value" for the run
    files. `stored`: stored times."""
    return [
        _row(problem, number, settings, rounds, stored, communicator)
        for problem in problems or PROBLEMS
        for number in numbers or NUMBERS
    ]


def _row(
    problem: str, number: int, settings: Sequence[str], rounds: int, stored: int,
    communicator: Communicator,
) -> Row:  # fmt: skip
    flow, map, options = pwgf_problem(problem, *settings)
    errors: dict[Sampling, list[float]] = {sampling: [] for sampling in Sampling}
    for seed in range(rounds):
        for sampling in Sampling:
            own = replace(options, samples=number, sampling=sampling, seed=seed)
            run = Contender(flow, map, own, communicator, stored, stages=Stages()).tried()
            if not isinstance(run, RunError):
                errors[sampling].append(run.error)
    middle = {
        sampling: statistics.median(found) if found else None for sampling, found in errors.items()
    }
    independent, sobol = middle[Sampling.RANDOM], middle[Sampling.SOBOL]
    return {
        "problem": problem,
        "samples": number,
        "error_random": independent,
        "error_sobol": sobol,
        "ratio": None if independent is None or sobol is None else independent / sobol,
        "failures_random": rounds - len(errors[Sampling.RANDOM]),
        "failures_sobol": rounds - len(errors[Sampling.SOBOL]),
    }
