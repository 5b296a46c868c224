"""Named problems from Python."""

from __future__ import annotations

from . import build, catalogue


def named(name: str, *settings: str) -> build.Objects:
    """Problem, map and method of a named problem or run file, with settings "a.b=value": what
    `hpc-wgf run NAME` would solve, as objects to change or to pass to `solve`.

    Example: `solve(*named("ou-10d", "problem.until=1"))`.
    """
    return build.objects(catalogue.load(name, settings))
