"""Many short runs in one process, sound ones and others, leave nothing behind: not memory, threads,
open files, signal handlers or hooks. `--runs 1000 --record data/many-runs.json` for a study."""

from __future__ import annotations

import atexit
import gc
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import user_objects
from processes import here

from hpc_wgf.config import build, load
from hpc_wgf.errors import InputError, RunError
from hpc_wgf.memory import resident
from hpc_wgf.profiling.machine import versions
from hpc_wgf.solution import solve

SMALL = [
    "method.samples=64", "method.step=0.02", "output.every=0.02",
    'map=[{kind="affine"},{kind="block",width=4}]',
]  # fmt: skip
A_RUN = 100 * 1024
"""Bytes by which the process may grow with a run: its allocator's noise over some twenty."""


@dataclass(frozen=True)
class Left:
    """What a process holds between two runs."""

    memory: int
    """Bytes that are resident."""
    threads: int
    """Threads."""
    files: int
    """Open file descriptors."""
    handlers: str
    """Who hears signals."""
    at_exit: int
    """Functions that wait for the end of the process."""

    @classmethod
    def now(cls) -> Left:
        gc.collect()
        heard = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1,
                                                         signal.SIGINT)]  # fmt: skip
        return cls(
            resident(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")),
            str(heard), atexit._ncallbacks(),
        )  # fmt: skip


def by_python(name: str, *settings: str, store: Path | None = None, again: bool = False) -> None:
    run_file = load(name, [*SMALL, *settings])
    output = replace(run_file.output, path=store)
    solve(*build(run_file), output)
    if again:
        later = build(run_file.ending_at(run_file.problem.until + 0.02))
        solve(*later, output, resume=True)


def refused(name: str, *settings: str) -> None:
    with pytest.raises(InputError):
        by_python(name, *settings)


def broken(name: str, *settings: str) -> None:
    user_objects._calls = 0  # so that it breaks on the way, and not at the start
    with pytest.raises(RunError, match="not finite"):
        by_python(name, *settings)


def by_command(store: Path) -> None:
    settings = [word for each in SMALL for word in ("--set", each)]
    done = here("run", "ou-2d", "--set", "problem.until=0.02", *settings, "--out", store)
    assert done.returncode == 0, done.stderr
    assert here("report", store).returncode == 0


KINDS: list[Callable[[Path], None]] = [
    lambda store: by_python("ou-2d", "problem.until=0.04"),
    lambda store: by_python("ou-2d", "problem.until=0.02", store=store, again=True),
    lambda store: by_python("aggregation-2d", "problem.until=0.02", "method.tolerance=none"),
    lambda store: by_python("gmm-two-moons", "problem.until=0.02", "method.tolerance=1e-2"),
    lambda store: by_python("porous-2d", "problem.until=0.12", store=store),
    lambda store: refused("ou-2d", "method.samples=1"),
    lambda store: broken(
        "ou-2d", "problem.until=1",
        'problem.energy.0={kind="user", function="user_objects:not_a_number"}',
    ),
    by_command,
]  # fmt: skip
"""Each with a store that it may make."""


def test_many_runs_leave_nothing_behind(tmp_path, request, monkeypatch):
    monkeypatch.setenv("FLAWED_RANK", "0")
    runs, record = (request.config.getoption(name) for name in ("--runs", "--record"))
    found = []
    for run in range(2 * len(KINDS) + runs):
        KINDS[run % len(KINDS)](tmp_path / "run")
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        if run >= 2 * len(KINDS):  # before, caches are filled and modules imported
            found.append(Left.now())
    memory = np.array([left.memory for left in found], dtype=float)
    slope = float(np.polyfit(np.arange(len(memory)), memory, 1)[0])
    result = {
        "runs": runs,
        "kinds": len(KINDS),
        "memory_mebibytes": [memory[0] / 2**20, memory[-1] / 2**20],
        "bytes_a_run": slope,
        "threads": [found[0].threads, found[-1].threads],
        "files": [found[0].files, found[-1].files],
        "versions": versions(),
    }
    print(result)
    if record is not None:
        Path(record).write_text(json.dumps(result, indent=2) + "\n")
    assert slope < A_RUN
    assert max(left.threads for left in found) == found[0].threads
    assert max(left.files for left in found) == found[0].files
    assert len({left.handlers for left in found}) == 1
    assert len({left.at_exit for left in found}) == 1
