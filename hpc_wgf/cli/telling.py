"""What a run tells while it goes on: progress, a log, metrics."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, WgfWarning

if TYPE_CHECKING:
    from ..methods.base import State
    from ..observers import Observer, Snapshot, StepRecord
    from ..observers.base import Memory


@dataclass(frozen=True)
class Telling:
    """The options of a run about what it tells."""

    quiet: bool
    """Nothing but errors."""
    verbose: bool
    """A line for every step."""
    log: Path | None
    """Where lines with date and time are appended."""
    metrics: Path | None
    """Where figures of steps and rows go."""

    @property
    def show_progress(self) -> bool:
        """Whether progress is shown; the lines of the steps take its place."""
        return not (self.quiet or self.verbose)

    @contextmanager
    def warned(self) -> Iterator[None]:
        """A context in which what is to be known before a run is shown beside the progress alone:
        the log has it, and the report will."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WgfWarning)
            yield

    def check(self) -> None:
        """Errors: `InputError` for options that exclude each other and for files that cannot be
        written."""
        if self.quiet and self.verbose:
            raise InputError("-q and -v exclude each other: give one of them")
        for option, path in (("--log", self.log), ("--metrics", self.metrics)):
            if path is not None and not _can_be_written(path):
                raise InputError(
                    f"cannot write {option} {path}: give a file in a folder that exists and where "
                    "you may write"
                )

    def observers(self, begun: str, *, resumed: bool) -> list[Observer]:
        """Those of rank 0. `begun`: what runs on what, in words. Errors: as `Metrics`."""
        from ..observers import Metrics

        wanted: list[Observer] = [_FirstLine(begun)] if self.show_progress else []
        return wanted if self.metrics is None else [*wanted, Metrics(self.metrics, resumed=resumed)]


class _FirstLine:
    """Says what runs once it does, and nothing of what is refused."""

    def __init__(self, line: str) -> None:
        self._line: str | None = line

    def on_row(self, row: Snapshot) -> None:
        self._say()

    def on_step(self, step: StepRecord) -> None:
        self._say()

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        return

    def on_end(self) -> None:
        return

    def _say(self) -> None:
        if self._line is not None and sys.stderr is not None:
            print(self._line, file=sys.stderr, flush=True)
        self._line = None


def _can_be_written(path: Path) -> bool:
    if path.is_dir():
        return False
    return os.access(path if os.path.lexists(path) else path.parent, os.W_OK)
