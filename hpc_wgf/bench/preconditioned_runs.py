"""Whole runs with and without a preconditioner: seconds to the same error.

All else is as in the problem's run file, but for the tolerance of the solver: each side has the
loosest one with which it reaches the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..choices import Preconditioning
from ..errors import InputError
from ..parallel import Communicator
from .pwgf_problem import pwgf_problem
from .record import Row
from .whole_run import Contender, WholeRun, in_turn, middle

PROBLEMS = ("porous-2d", "porous-5d", "porous-15d")
_TOLERANCES = (3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7)


def rows(
    problems: Sequence[str], settings: Sequence[str], error: float, rounds: int, stored: int,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem, by default for each of `PROBLEMS`.

    `settings`: "a.b=value" for their run files. `error`: the map error that is to be reached, over
    the displacement. `stored`: stored times of a run, at which errors are measured. Medians are of
    so many `rounds`.

    Errors: `InputError` where no tolerance reaches the error.
    """
    if not 0 < error < math.inf:
        raise InputError(f"--error must be a positive number, got {error:g}")
    return [
        _row(name, settings, error, rounds, stored, communicator) for name in problems or PROBLEMS
    ]


def _row(
    name: str, settings: Sequence[str], error: float, rounds: int, stored: int,
    communicator: Communicator,
) -> Row:  # fmt: skip
    problem, map, options = pwgf_problem(name, *settings)
    own = Contender(problem, map, options, communicator, stored)
    plain = replace(own, options=replace(options, preconditioner=Preconditioning.NONE))
    contenders = {"plain": _loosest(plain, error), "preconditioned": _loosest(own, error)}
    found = {kind: middle(runs) for kind, runs in in_turn(contenders, rounds).items()}
    sides: Row = {}
    for kind, contender in contenders.items():
        sides |= _side(kind, contender, found[kind])
    return {
        "problem": name,
        "error_wanted": error,
        "ratio": found["plain"].seconds / found["preconditioned"].seconds,
        **sides,
        "samples": options.samples,
    }


def _loosest(contender: Contender, error: float) -> Contender:
    """The contender with the loosest tolerance whose run stays below the error."""
    nearest = float("inf")
    for rtol in _TOLERANCES:
        tried = replace(contender, options=replace(contender.options, rtol=rtol))
        result = tried.tried()
        if isinstance(result, WholeRun):
            if result.error <= error:
                return tried
            nearest = min(nearest, result.error)
    raise InputError(
        f"no tolerance from {_TOLERANCES[0]:g} to {_TOLERANCES[-1]:g} reaches an error of "
        f"{error:g} of the displacement, the nearest is {nearest:.3g}: ask for a larger --error, "
        "or change the map or the steps by --set"
    )


def _side(kind: str, contender: Contender, run: WholeRun) -> Row:
    return {
        f"rtol_{kind}": contender.options.rtol,
        f"seconds_{kind}": run.seconds,
        f"error_{kind}": run.error,
        f"steps_{kind}": run.steps,
        f"products_{kind}": run.products,
    }
