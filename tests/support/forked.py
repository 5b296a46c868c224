"""Ranks that begin in no time: forks of one process that has imported everything already.

A program's start is its imports, seconds of every rank that has a few tenths of a second to
compute. So tests that ask what ranks compute, and not how they are launched, have them forked.

Usage: forked.py, reading lines of JSON from standard input, one for every job: `program`, the
arguments of a Python that would run it; `environments`, the variables of each rank; `folder`,
where they work; `out` and `err`, files; `timeout`, seconds. It answers each job by one line, the
statuses of its ranks or null where they took too long, and ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import time

_TO_END = 10.0  # Seconds that ranks have after another has failed, as with torchrun.
_LOOK = 0.01  # Seconds between two looks at the ranks.


def import_all() -> None:
    """Everything that a run may import, but what needs a package that may be missing, or begins
    threads, which no fork would have."""
    import torch.distributed  # noqa: F401
    import zarr  # noqa: F401

    import hpc_wgf

    for folder in ("cli", "run", "store", "maps", "methods", "metric", "parallel", "report"):
        package = importlib.import_module(f"hpc_wgf.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2] not in ("__main__", "mpi", "mpi_library"):
                importlib.import_module(module.name)
    for name in hpc_wgf.__all__:
        getattr(hpc_wgf, name)


def serve() -> None:
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        ranks = []
        for environment in job["environments"]:
            child = os.fork()
            if child == 0:
                _run(job["program"], environment, job)
                return
            ranks.append(child)
        print(json.dumps(_ended(ranks, time.monotonic() + job["timeout"])), flush=True)


def _ended(ranks: list[int], latest: float) -> list[int] | None:
    """The statuses of all ranks: the others of one that fails are ended, as torchrun does; None
    where they had to be ended at the time `latest`."""
    left, statuses, ends = dict(enumerate(ranks)), [0] * len(ranks), latest
    while left:
        for rank, process in list(left.items()):
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                statuses[rank] = os.waitstatus_to_exitcode(status)
                del left[rank]
        if left and ends == latest and any(statuses):
            ends = time.monotonic() + _TO_END
            _signal(left.values(), signal.SIGTERM)
        if time.monotonic() > ends:
            _signal(left.values(), signal.SIGKILL)
        time.sleep(_LOOK)
    return statuses if ends != latest or time.monotonic() < latest else None


def _signal(processes, number: int) -> None:
    for process in processes:
        os.kill(process, number)


def _run(program: list[str], environment: dict[str, str], job: dict) -> None:
    """The program, in this process, as a Python of its own would run it."""
    for stream, target in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        file = os.open(target, (os.O_WRONLY | os.O_APPEND) if stream else os.O_RDONLY)
        os.dup2(file, stream)
        os.close(file)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = environment.get("PYTHONPATH", "").split(os.pathsep)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        sys.path[0] = os.path.dirname(program[0])
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    import_all()
    serve()
