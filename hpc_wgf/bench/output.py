"""What the store takes of the seconds of whole runs: each with and without it, in turn."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from ..config import RunFile, build, load
from ..errors import WgfWarning
from ..parallel import Communicator
from ..solution import Solution, solve
from ..store import open_run
from .record import Row

Seconds = tuple[float, float]
"""Of wall time, and of all cores on this rank."""


def rows(
    problems: Sequence[str], settings: Sequence[str], rounds: int, folder: Path | None,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each named problem, with `settings` in place of its own; collective.

    `folder`: where temporary stores are made, seen by all ranks; None for the system's temporary
    folder.
    """
    return [
        _row(name, load(name, list(settings)), rounds, folder, communicator) for name in problems
    ]


def _row(
    name: str, run_file: RunFile, rounds: int, folder: Path | None, communicator: Communicator
) -> Row:
    with _shared_folder(folder, communicator) as place:

        def run(path: Path | None) -> Solution:
            output = replace(run_file.output, path=path)
            return solve(*build(run_file), output, communicator=communicator)

        stores = [place / str(number) for number in range(rounds + 1)]
        _seconds(lambda: run(stores[-1]))  # imports and first allocations
        without, within = [], []
        for store in stores[:-1]:
            without.append(_seconds(lambda: run(None)))
            within.append(_seconds(partial(run, store)))
        stored = open_run(stores[0])
        written = sum(path.stat().st_size for path in stores[0].rglob("*") if path.is_file())
    seconds, seconds_without = (median(wall for wall, _ in each) for each in (within, without))
    work, work_without = (median(cores for _, cores in each) for each in (within, without))
    return {
        "problem": name,
        "samples": stored.attributes["samples"],
        "rows": stored.rows,
        "steps": stored.steps,
        "megabytes": written / 1e6,
        "seconds": seconds,
        "seconds_without": seconds_without,
        "share": 1 - seconds_without / seconds,
        "share_of_work": 1 - work_without / work,
    }


def _seconds(run: Callable[[], object]) -> Seconds:
    wall, cores = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WgfWarning)
        run()
    return time.perf_counter() - wall, time.process_time() - cores


@contextmanager
def _shared_folder(folder: Path | None, communicator: Communicator) -> Iterator[Path]:
    """A temporary folder that rank 0 makes and takes away."""
    made = tempfile.TemporaryDirectory(dir=folder) if communicator.rank == 0 else None
    try:
        yield Path(communicator.gather(None if made is None else made.name)[0])
        communicator.gather(None)  # nobody is in it any more
    finally:
        if made is not None:
            made.cleanup()
