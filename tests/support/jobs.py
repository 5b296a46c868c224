"""Jobs to be planned."""

from __future__ import annotations

from hpc_wgf.config import build, load
from hpc_wgf.planning.partition import Job


def job_of(name: str, *settings: str) -> Job:
    """That of a named problem."""
    run_file = load(name, settings)
    return Job(*build(run_file), run_file.output)
