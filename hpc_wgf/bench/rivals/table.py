"""The same question to this solver, with a named problem's own settings, and to all that can answer
it otherwise: errors, seconds and sizes in one table."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from typing import Any

from ...config.parsing import parse
from ...config.run import RunFile
from ...config.spec import build
from ...errors import InputError, RunError
from ...parallel import Communicator
from ...problems import Problem
from ...pushed import MapAt, PathMap
from ..methods import as_started, tables_with_own
from ..record import Row
from .answer import POINTS, Answer, Rival, start_points
from .blob import BLOB
from .grid import GRID
from .law import Law
from .lines import LINES
from .metropolis import METROPOLIS
from .particles import PARTICLES
from .paths import EULER_MARUYAMA
from .truth import Truth, check_known, truth_of

PROBLEMS = (
    "ou-2d-aniso", "ou-10d", "fp-two-to-four-2d", "gmm-two-moons",
    "gmm-two-moons:problem.until=3", "styblinski-tang-2d", "styblinski-tang-30d", "porous-2d",
    "aggregation-2d", "aggregation-diffusion-2d",
)  # fmt: skip
OURS = "hpc-wgf"
"""What rows call this solver."""
RIVALS: dict[str, Rival] = {
    "euler-maruyama": EULER_MARUYAMA, "metropolis": METROPOLIS, "grid": GRID, "lines": LINES,
    "particles": PARTICLES, "blob": BLOB,
}  # fmt: skip
"""By the name that rows give them: paths of the Langevin equation, finite volumes in up to two
dimensions, those of every coordinate by itself, particles with the forces of all others, and
particles that feel their density through a kernel."""
_TOLD = 1.5  # floors below which errors are not told apart
_GROWTH = 8.0  # Seconds of a level, at most, over those of the one before.


def rows(
    problems: Sequence[str], rivals: Sequence[str], settings: Sequence[str], patience: float,
    seed: int, communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """For each problem, by default those of `PROBLEMS`, a row of this solver and one of each rival,
    by default all: of its finest level, `tried` has all of them as [size, error, error of the
    density, seconds].

    `error`: that of the quantiles along directions over the way that the flow goes (see
    `Truth.error`). `error_density`: ∫|ρ − ρ_exact|, where there is a density. `seconds`: those of
    the processor, which other jobs on the machine change little, without judging.
    `seconds_as_good`: of the first level of a rival whose error is at most this solver's, or half
    as large again as the floor. `floor`: what the truth itself is off by.

    `problems`: names or files, each perhaps with a setting of its own after a colon. `settings`:
    "a.b=value" for all run files. `patience`: such seconds that no level is expected to go beyond,
    if it takes eight times as long as the one before. `seed`: of samples.

    Errors: `InputError` on several ranks, for an unknown rival, for what a run file may not say,
    for a problem of which nothing exact is known, and for an exact flow that does not move. Where
    the truth fails later, a problem has one row, whose note says why.
    """
    if communicator.size > 1:
        raise InputError("rivals are compared on one process: leave the launcher out")
    for name in rivals:
        if name not in RIVALS:
            raise InputError(f"there is no rival {name!r}: choose from {', '.join(RIVALS)}")
    files = {name: parse(tables_with_own(name, settings)) for name in problems or PROBLEMS}
    flows = {name: build(run_file).problem for name, run_file in files.items()}
    for problem in flows.values():  # All of them before work that a late error would lose.
        check_known(problem)
    found: list[Row] = []
    for name, run_file in files.items():
        problem = flows[name]
        try:
            truth = truth_of(problem)
        except (InputError, RunError) as failure:  # What others have found is not lost by it.
            found.append({"problem": name, **_row(problem, None, OURS, note=_first(failure))})
            continue
        ours = _ours(run_file, problem, truth, seed, communicator)
        found.append({"problem": name, **ours})
        for rival in rivals or RIVALS:
            row = _rival(rival, problem, truth, patience, seed, ours["error"])
            found.append({"problem": name, **row})
    return found


def _first(failure: Exception) -> str:
    """The first line of a message."""
    return str(failure).splitlines()[0]


def _row(problem: Problem, truth: Truth | None, rival: str, **known: Any) -> Row:
    kept: Row = {
        "dimension": problem.dimension, "rival": rival, "error": None, "error_density": None,
        "seconds": None, "seconds_as_good": None, "samples": None, "particles": None,
        "cells": None, "steps": None, "floor": truth and truth.floor,
        "truth": truth and truth.source, "note": None, "tried": [],
    }  # fmt: skip
    return {**kept, **known}


def _ours(
    run_file: RunFile, problem: Problem, truth: Truth, seed: int, communicator: Communicator
) -> Row:
    """This solver's row."""
    try:
        begun = clock.process_time()
        solution, _ = as_started(run_file, communicator)
        seconds = clock.process_time() - begun
        map = MapAt(problem, solution.time, PathMap(solution.state, None))
        z, size = start_points(problem, POINTS, seed, 2), solution.summary.samples
        answer = Answer(
            lambda: Law(map.push(z).numpy()), size, map.log_density_or_nan, solution.summary.steps
        )
        error, density_error = truth.error(answer), truth.density_error(answer)
    except RunError as failure:
        return _row(problem, truth, OURS, note=_first(failure))
    return _row(
        problem, truth, OURS, samples=size, seconds=seconds, steps=answer.steps, error=error,
        error_density=density_error,
    )  # fmt: skip


def _rival(
    name: str, problem: Problem, truth: Truth, patience: float, seed: int, ours: float | None
) -> Row:
    """The row of a rival, which has answered at one level after the other."""
    rival = RIVALS[name]
    if why := rival.refusal(problem):
        return _row(problem, truth, name, note=f"cannot answer: {why}")
    tried: list[list[Any]] = []
    note, last, as_good = None, None, None
    for level in range(rival.levels):
        begun = clock.process_time()
        try:
            answer = rival.answer(problem, level, seed)
            seconds = clock.process_time() - begun
            error, density_error = truth.error(answer), truth.density_error(answer)
        except (InputError, RunError) as failure:
            note = _first(failure)
            break
        last = answer
        tried.append([last.size, error, density_error, seconds])
        if as_good is None and ours is not None and error <= max(ours, _TOLD * truth.floor):
            as_good = seconds
        if _GROWTH * seconds > patience or _as_fine(last, rival, truth):
            break
    if last is None:
        return _row(problem, truth, name, note=note)
    if last.log_density is None:
        note = "no density" if note is None else f"no density; {note}"
    size, error, density_error, seconds = tried[-1]
    return _row(
        problem, truth, name, error=error, error_density=density_error, seconds=seconds, note=note,
        seconds_as_good=as_good, steps=last.steps, tried=tried, **{rival.unit: size},
    )  # fmt: skip


def _as_fine(answer: Answer, rival: Rival, truth: Truth) -> bool:
    """Whether a grid with half the width of cells were nearly as fine as that of the truth."""
    return truth.cells is not None and rival.unit == "cells" and 16 * answer.size > truth.cells
