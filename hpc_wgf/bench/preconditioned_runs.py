"""Whole runs with and without a preconditioner, all else as in the problem's run file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..methods import PWGFOptions
from ..metric import Preconditioning
from ..named import named
from ..parallel import Communicator
from .record import Row
from .whole_run import Race, WholeRun, in_turn, middle

PROBLEMS = ("porous-2d", "porous-5d", "porous-15d")


def rows(
    problems: Sequence[str], settings: Sequence[str], rounds: int, stored: int,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row a problem. `settings`: "a.b=value" for its run file; `stored`: rows of a run."""
    return [_row(name, settings, rounds, stored, communicator) for name in problems or PROBLEMS]


def _row(
    name: str, settings: Sequence[str], rounds: int, stored: int, communicator: Communicator
) -> Row:
    problem, map, options = named(name, *settings)
    races = {
        kind: Race(problem, map, chosen, communicator, stored)
        for kind, chosen in _both(options).items()
    }
    found = {kind: middle(runs) for kind, runs in in_turn(races, rounds).items()}
    plain, preconditioned = found["plain"], found["preconditioned"]
    return {
        "problem": name,
        "seconds_plain": plain.seconds,
        "error_plain": plain.error,
        "seconds_preconditioned": preconditioned.seconds,
        "error_preconditioned": preconditioned.error,
        "ratio": plain.seconds / preconditioned.seconds,
        "no_less_exact": preconditioned.error <= plain.error,
        **_counts("plain", plain),
        **_counts("preconditioned", preconditioned),
        "samples": options.samples,
    }


def _both(options: PWGFOptions) -> dict[str, PWGFOptions]:
    plain = replace(options, preconditioner=Preconditioning.NONE)
    return {"plain": plain, "preconditioned": options}


def _counts(kind: str, run: WholeRun) -> Row:
    return {f"steps_{kind}": run.steps, f"products_{kind}": run.products}
