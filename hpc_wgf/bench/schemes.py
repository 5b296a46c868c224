"""Whole runs of one problem by several Runge–Kutta schemes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError, RunError
from ..integrators import SCHEMES
from ..maps import PushForward
from ..methods.pwgf import PWGFOptions
from ..parallel import Communicator
from .pwgf_problem import pwgf_problem
from .record import Row
from .whole_run import Contender, WholeRun


def rows(
    problem: str, schemes: Sequence[str], tolerance: float | None, settings: Sequence[str],
    rounds: int, stored: int, communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each scheme, all of them if `schemes` is empty: the run of the median time.

    A scheme with an error estimate has steps by `tolerance` (that of the run file for None), others
    have the fixed step of the run file. `settings`: "a.b=value" for the run file. `stored`: stored
    times, at which errors are measured.
    """
    flow, map, options = pwgf_problem(problem, *settings)
    contenders = {
        scheme: Contender(flow, map, _options(options, scheme, tolerance), communicator, stored)
        for scheme in schemes or _possible(options, map)
    }
    found: dict[str, list[WholeRun | RunError]] = {scheme: [] for scheme in contenders}
    for _ in range(rounds):
        for scheme, contender in contenders.items():
            found[scheme].append(contender.tried())
    return [
        _row(problem, scheme, contender, found[scheme]) for scheme, contender in contenders.items()
    ]


def _possible(options: PWGFOptions, map: PushForward) -> list[str]:
    """All schemes, without those that the map does not allow."""
    linear = replace(options, scheme="heun").solves_directly(map)
    return [name for name, scheme in SCHEMES.items() if linear or not scheme.implicit]


def _options(options: PWGFOptions, scheme: str, tolerance: float | None) -> PWGFOptions:
    wanted = options.tolerance if tolerance is None else tolerance
    replace(options, scheme="heun", tolerance=wanted)  # raises for what is no tolerance
    fixed = replace(options, tolerance=None)
    try:
        return replace(fixed, scheme=scheme, tolerance=wanted)
    except InputError:
        return replace(fixed, scheme=scheme)  # raises for an unknown scheme


def _row(
    problem: str, scheme: str, contender: Contender, found: Sequence[WholeRun | RunError]
) -> Row:
    runs = sorted((each for each in found if isinstance(each, WholeRun)), key=lambda r: r.seconds)
    failures = [str(each) for each in found if isinstance(each, RunError)]
    run = runs[len(runs) // 2] if runs else None
    return {
        "problem": problem,
        "scheme": scheme,
        "tolerance": contender.options.tolerance,
        "step": contender.options.step_size,
        "steps": run and run.steps,
        "solves": run and run.solves,
        "products": run and run.products,
        "seconds": run and run.seconds,
        "error": run and run.error,
        "failure": failures[0] if failures else None,
    }
