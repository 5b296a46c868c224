"""Every method that can solve a problem, at the same error: whole runs as a user starts them.

Each method has one knob, its tolerance or its step, which is turned until the error is reached; all
else of it stays at its defaults or as the problem's run file says.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..config.catalogue import tables_of
from ..config.methods import DEFAULT_METHOD
from ..config.parsing import parse
from ..config.run import RunFile
from ..config.spec import build
from ..config.toml import with_settings
from ..errors import InputError, RunError
from ..parallel import Communicator, any_rank
from ..report import Summary
from ..solution import Solution, solve
from .record import Row

PROBLEMS = (
    "ou-2d-aniso", "ou-scaling", "ou-scaling:problem.dimension=8",
    "ou-scaling:problem.dimension=32", "fp-two-to-four-2d", "gmm-two-moons", "porous-2d",
    "aggregation-2d", "mobility-nonlocal",
)  # fmt: skip
_DRAWN = ("samples", "sampling", "seed", "dtype")


@dataclass(frozen=True)
class Way:
    """A method, and what is turned to make it more accurate."""

    knob: str
    """The key of `[method]`: "tolerance", or "step" in shares of the run."""
    values: Sequence[float]
    """Its values, from the loosest."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """What else `[method]` says."""
    taken: Sequence[str] | None = _DRAWN
    """The keys of the run file's own `[method]` that it begins with; None for all."""

    def tables(self, tables: dict[str, Any], value: float) -> dict[str, Any]:
        """Those of a run file, with this method at a value of its knob."""
        given = tables.get("method", {})
        same = given.get("kind", DEFAULT_METHOD) == self.table.get("kind", DEFAULT_METHOD)
        taken = _DRAWN if self.taken is None and not same else self.taken
        own = {key: each for key, each in given.items() if taken is None or key in taken}
        problem = tables["problem"]
        span = problem["until"] - problem.get("start_time", 0.0)
        turned = value * span if self.knob == "step" else value
        return {**tables, "method": {**own, **self.table, self.knob: turned}}


_TOLERANCES = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
_STEPS = (0.2, 0.1, 0.05, 0.025, 0.0125)
WAYS: dict[str, Way] = {
    "pwgf": Way("tolerance", _TOLERANCES, taken=None),
    "gradient": Way("tolerance", _TOLERANCES, {"metric": "gradient", "form": "force"}, taken=None),
    "implicit": Way("tolerance", _TOLERANCES, {"kind": "implicit"}, (*_DRAWN, "redraw")),
    "jko": Way("step", _STEPS, {"kind": "implicit", "scheme": "euler"}, (*_DRAWN, "redraw")),
    "primal-dual": Way("step", _STEPS, {"kind": "primal-dual"}, ("seed",)),
    "deep-jko": Way("step", _STEPS, {"kind": "deep-jko"}),
}
"""By the name that rows give them: steps of PWGF, the same with the metric of gradients, implicit
steps of order two, JKO steps with the exact dual, by two networks, and as trained flows."""

FIGURES: dict[str, float] = {"map": 5e-2, "law": 1e-3, "kl": 0.04}
"""What is called the error, in the order of preference, and what is asked of it by default: "map",
the largest (E|T − T_exact|²)^½ over the displacement at a stored time; "law", the largest symmetric
KL divergence of the Gaussian law; "kl", the KL divergence from the target at the end, in which the
flow's own distance is contained."""


def rows(
    problems: Sequence[str], methods: Sequence[str], settings: Sequence[str], error: float | None,
    patience: float, communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem, by default those of `PROBLEMS`, and method, by default all.

    `problems`: names or files, each perhaps with a setting of its own after a colon. `settings`:
    "a.b=value" for all run files. `error`: what is to be reached, by default that of `FIGURES`.
    `patience`: seconds after which a method is tried no further.

    Errors: `InputError` for an unknown method, and for what a run file may not say.
    """
    for name in methods:
        if name not in WAYS:
            raise InputError(
                f"there is no method {name!r} to compare: choose from {', '.join(WAYS)}"
            )
    for problem in problems or PROBLEMS:  # All of them before work that a late error would lose.
        parse(tables_with_own(problem, settings))
    return [
        _row(problem, name, settings, error, patience, communicator)
        for problem in problems or PROBLEMS
        for name in methods or WAYS
    ]


@dataclass(frozen=True)
class _Run:
    """One run of a method."""

    figure: str
    """A key of `FIGURES`."""
    error: float
    seconds: float
    samples: int
    """n, in a step or an iteration."""
    parameters: int
    """p, of the map that moves in a stage."""
    steps: int
    stages: int


def _row(
    problem: str, name: str, settings: Sequence[str], error: float | None, patience: float,
    ranks: Communicator,
) -> Row:  # fmt: skip
    """Of a method, which has run at one value of its knob after another."""
    way, tried, note = WAYS[name], [], None
    best: tuple[float, _Run] | None = None
    tables = tables_with_own(problem, settings)
    run_file, begun = parse(tables), clock.monotonic()
    for value in way.values:
        try:
            found = _run(parse(way.tables(tables, value)), ranks)
        except InputError as refusal:
            note = str(refusal).splitlines()[0]
            break
        except RunError as failure:  # A smaller step may go where this one does not.
            note = str(failure).splitlines()[0]
            continue
        tried.append([value, found.error, found.seconds])
        if best is None or found.error < best[1].error:
            best = value, found
        wanted = FIGURES[found.figure] if error is None else error
        note = None if found.error <= wanted else f"none of its runs reaches {wanted:g}"
        if note is None or any_rank(ranks, clock.monotonic() - begun > patience):
            break
    turned, run = best or (None, None)
    return {
        "problem": problem.partition(":")[0],
        "dimension": run_file.problem.dimension,
        "method": name,
        "figure": run and run.figure,
        "error": run and run.error,
        "seconds": run and run.seconds,
        "samples": run and run.samples,
        "parameters": run and run.parameters,
        "steps": run and run.steps,
        "stages": run and run.stages,
        way.knob: turned,
        "reached": note is None,
        "note": note,
        "tried": tried,
    }


def tables_with_own(problem: str, settings: Sequence[str]) -> dict[str, Any]:
    """Of the run file that a problem names, perhaps with a setting of its own after a colon, and
    with `settings`. Errors: `InputError`."""
    name, _, own = problem.partition(":")
    return with_settings(tables_of(name), [*([own] if own else []), *settings])


def as_started(run_file: RunFile, communicator: Communicator) -> tuple[Solution, float]:
    """A run as a user would start it, without a store and without a bound of its error, and its
    seconds. Errors: `InputError`, and `RunError` where it cannot go on."""
    spec = build(run_file)
    output = replace(run_file.output, path=None, bound=False)
    begun = clock.monotonic()
    found = solve(*spec, output, communicator=communicator, stages=run_file.stages)
    return found, clock.monotonic() - begun


def _run(run_file: RunFile, communicator: Communicator) -> _Run:
    """Errors: as for `as_started`."""
    solution, seconds = as_started(run_file, communicator)
    found = solution.summary
    figure, error = _error(found)
    return _Run(figure, error, seconds, found.samples, found.parameters, found.steps, found.stages)


def _error(summary: Summary) -> tuple[str, float]:
    """The first of `FIGURES` that the run has, and its value. Errors: `InputError` without any."""
    for figure, column in (
        ("map", summary.map_error_relative),
        ("law", summary.symmetric_kl),
    ):
        known = [value for value in column or () if value is not None]
        if known:
            return figure, max(known)
    last = (summary.kl_divergence or [None])[-1]
    if last is None:
        raise InputError(
            f"{summary.problem} has neither an exact solution nor a target whose normalisation is "
            "known, so that nothing says which method is nearer: give another problem"
        )
    return "kl", last
