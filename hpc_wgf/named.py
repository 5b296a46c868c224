"""Named problems from Python."""

from __future__ import annotations

from typing import NamedTuple

from . import build, catalogue
from .maps import PushForward
from .methods import PWGFOptions
from .problems import Problem


class Named(NamedTuple):
    """What `hpc-wgf run NAME` would solve, as objects: pass them to `solve`, or change them."""

    problem: Problem
    map: PushForward
    method: PWGFOptions


def named(name: str, *settings: str) -> Named:
    """Problem, map and method of a named problem or run file, with settings "a.b=value".

    Example: `solve(*named("ou-10d", "problem.until=1"))`.
    """
    run_file = catalogue.load(name, settings)
    return Named(
        build.problem(run_file.problem),
        build.push_forward(run_file.map, run_file.problem.dimension),
        build.options(run_file.method),
    )
