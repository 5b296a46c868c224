"""From a run file to what `solve` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..methods.pwgf import PWGFOptions
from .catalogue import load
from .maps import build_map
from .run import RunFile

if TYPE_CHECKING:
    from ..maps import PushForward
    from ..problems import Problem


class RunSpec(NamedTuple):
    """What a run file says to solve: `solve(*spec)`."""

    problem: Problem
    """The equation, its start density and its time span."""
    map: PushForward
    """The map whose parameters move, as it is at the start."""
    method: PWGFOptions
    """How the parameters are moved."""


def build(run_file: RunFile) -> RunSpec:
    """Problem, map and method of a run file. Errors: `InputError` naming what does not fit."""
    return RunSpec(
        run_file.problem.build(),
        build_map(run_file.map, run_file.problem.dimension),
        run_file.method,
    )


def load_problem(name_or_file: str, *settings: str) -> RunSpec:
    """Problem, map and method of a named problem or run file, with settings "a.b=value": what
    `hpc-wgf run NAME` would solve, as objects to change or to pass to `solve`.

    Example: `solve(*load_problem("ou-10d", "problem.until=1"))`. Errors: `InputError` for an
    unknown name, or naming what in the run file does not fit.
    """
    return build(load(name_or_file, settings))
