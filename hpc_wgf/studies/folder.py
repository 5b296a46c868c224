"""The files of many runs in one folder, and how far each run is.

Every run has three: its run file NAME.toml, its store NAME.zarr, and NAME.log, what its attempts
said. They alone tell how far it is, whoever has run it: this machine or a cluster's jobs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.toml import written
from ..errors import InputError, RunError
from .grid import Planned

if TYPE_CHECKING:
    from ..report import Summary

# Lines that go on with one begin with two spaces.
_REASON = re.compile(r"^error: (.*(?:\n  .*)*)", re.MULTILINE)
ATTEMPT = "== the run begins, or goes on"
"""The line of a log before what an attempt says."""
_BUSY = "is being written by another process"
_LONGEST = 300  # characters of a reason


class State(StrEnum):
    """How far a run is."""

    WAITING = "waiting"
    """It has not begun."""
    HALF = "half"
    """It has begun and not ended: it will go on where it was."""
    FINISHED = "finished"
    """It has reached its end."""
    FAILED = "failed"
    """Its last attempt ended with an error."""


@dataclass(frozen=True)
class Progress:
    """How far a run is, and what is known of it."""

    state: State
    reason: str | None
    """Why it has failed, in one line."""
    summary: Summary | None
    """Its figures; None before the first row."""


@dataclass(frozen=True)
class RunFiles:
    """The three files of a run in a folder."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        """The run file."""
        return self.folder / f"{self.name}.toml"

    @property
    def store(self) -> Path:
        """The store."""
        return self.folder / f"{self.name}.zarr"

    @property
    def log(self) -> Path:
        """What the attempts said."""
        return self.folder / f"{self.name}.log"

    def progress(self) -> Progress:
        """How far the run is, from its files. A store that cannot be read has failed."""
        from ..report import Summary
        from ..store import open_run

        summary = None
        if os.path.lexists(self.store):
            try:
                summary = Summary.of_store(open_run(self.store))
            except InputError as error:
                return Progress(State.FAILED, _one_line(str(error)), None)
            if summary.finished:
                return Progress(State.FINISHED, None, summary)
        if reason := self.reason():
            return Progress(State.FAILED, reason, summary)
        # A store without a row may be that of a run that died at once: it is taken up all the same.
        begun = os.path.lexists(self.store)
        return Progress(State.HALF if begun else State.WAITING, None, summary)

    def reason(self) -> str | None:
        """The error with which the last attempt ended, by its log; None where it did not, or found
        the run at work."""
        found = [each for each in self._errors() if _BUSY not in each]
        return _one_line(found[-1]) if found else None

    def is_run_by_another(self) -> bool:
        """Whether the last attempt found the run at work in another process."""
        return any(_BUSY in each for each in self._errors())

    def _errors(self) -> list[str]:
        try:
            said = self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return _REASON.findall(said.rpartition(ATTEMPT)[2])


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def prepared(folder: Path, runs: Sequence[Planned]) -> list[RunFiles]:
    """The files of `runs` in `folder`, which is made where there is none, their run files written.

    Errors: `InputError`, before anything is written, where a run file of that name says something
    else; `RunError` where nothing can be written."""
    files = [RunFiles(folder, run.name) for run in runs]
    texts = [written(run.tables) for run in runs]
    for each, text in zip(files, texts, strict=True):
        check_same(each, text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, text in zip(files, texts, strict=True):
            if not each.file.exists():
                each.file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write run files to {folder}: {error.strerror}") from error
    return files


def check_same(files: RunFiles, text: str) -> None:
    """Errors: `InputError` where there is another run file, or a store without one."""
    try:
        found = files.file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if os.path.lexists(files.store):
            raise InputError(
                f"{files.store} is there already, and no {files.file.name} that says what it "
                "holds: give another --out"
            ) from None
        return
    except (OSError, ValueError) as error:
        raise InputError(f"{files.file} cannot be read: give another --out") from error
    if found != text:
        raise InputError(
            f"{files.file} says something else than this command, which would be another run: give "
            "the run file and --set as before, or another --out"
        )
