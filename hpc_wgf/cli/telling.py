"""What a run tells while it goes on: progress, a log, metrics."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, WgfWarning

if TYPE_CHECKING:
    from ..observers import Observer


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

    def observers(self, *, resumed: bool) -> list[Observer]:
        """Those of rank 0. Errors: as `Metrics`."""
        from ..observers import Metrics

        return [] if self.metrics is None else [Metrics(self.metrics, resumed=resumed)]


def _can_be_written(path: Path) -> bool:
    if path.is_dir():
        return False
    return os.access(path if os.path.lexists(path) else path.parent, os.W_OK)
