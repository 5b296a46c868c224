"""Runs in processes of their own on this machine, so that one that fails ends no other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RunError
from .folder import ATTEMPT, RunFiles

_LOOK = 0.05  # seconds between two looks at the processes
STOPPED = 75
"""The status of a run that was asked to stop."""


@dataclass
class _Job:
    files: RunFiles
    process: subprocess.Popen[bytes]
    begun: float
    told: bool = False


Tell = Callable[[RunFiles, str], None]
"""Is told in a few words what becomes of a run."""


def command_of(files: RunFiles, options: Sequence[str] = ()) -> list[str]:
    """The command of a run: `hpc-wgf run` on its file, which goes on where its store is there."""
    run = ["run", str(files.file), "--out", str(files.store), "--resume", *options]
    return [sys.executable, "-m", "hpc_wgf", *run]


def carry_out(
    runs: Sequence[RunFiles], options: Sequence[str], *, at_once: int, tell: Tell,
    stop: Callable[[], bool],
) -> bool:  # fmt: skip
    """Carry runs out, `at_once` of them at the same time; what they say goes to their logs.

    Where `stop` says so, those that go on are asked to stop after their present step, and no
    further ones begin. Whether that was so is returned. Errors: `RunError` where a process cannot
    be started; those that go on are stopped then too."""
    waiting, going = deque(runs), list[_Job]()
    try:
        while going or (waiting and not stop()):
            while waiting and len(going) < at_once and not stop():
                going.append(_started(waiting.popleft(), options, tell))
            time.sleep(_LOOK)
            if stop():
                _ask_to_stop(going)
            going = [job for job in going if not _ended(job, tell)]
    finally:
        _ask_to_stop(going)
        for job in going:
            job.process.wait()
    return stop()


def _started(files: RunFiles, options: Sequence[str], tell: Tell) -> _Job:
    tell(files, "begins")
    try:
        with files.log.open("ab") as log:
            log.write(f"{ATTEMPT}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command_of(files, options),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
    except OSError as error:
        raise RunError(f"cannot start the run {files.name}: {error.strerror}") from error
    return _Job(files, process, time.monotonic())


def _ended(job: _Job, tell: Tell) -> bool:
    """Whether it has ended; a run that was killed has not said so itself, which its log then does
    for it."""
    status = job.process.poll()
    if status is None:
        return False
    seconds = time.monotonic() - job.begun
    if status == 0:
        tell(job.files, f"finished in {seconds:.3g} s")
    elif status == STOPPED or job.told:
        tell(job.files, "stopped, to go on later")
    else:
        if job.files.is_run_by_another():
            tell(job.files, "is run by another process")
            return True
        if job.files.reason() is None:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            _add_to(job.files.log, f"error: the run {how}\n")
        tell(job.files, f"failed after {seconds:.3g} s")
    return True


def _ask_to_stop(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if not job.told:
            job.told = True
            job.process.terminate()


def _add_to(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(line)
