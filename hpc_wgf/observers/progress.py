"""Progress on rank 0: a bar in a terminal and a notebook, plain lines in a log."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from logging import DEBUG
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..log import LOG
from ..methods.base import State
from .base import Memory, Observer, Snapshot, StepRecord

_NAN = float("nan")


def progress(
    start: float, until: float, *, steps: int = 0, stream: TextIO | None = None
) -> Observer:
    """Shows a run over the times `start` … `until`, `steps` of whose steps were taken before: a
    bar where `stream` (standard error) is a terminal and in a notebook, lines elsewhere."""
    # By ipywidgets: without them rich shows nothing there.
    notebook = stream is None and Console().is_jupyter and find_spec("ipywidgets") is not None
    stream = stream or sys.stderr
    # Without a stream standard error is closed.
    terminal = stream is not None and stream.isatty()
    kind = ProgressBar if terminal or notebook else ProgressLines
    return kind(start, until, stream, _Status(steps))


class _Status:
    """One line about the run: step, t, energy, products a solve."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.energy = _NAN
        self._products = _NAN

    def step(self, step: StepRecord) -> None:
        self.steps += 1
        self.energy = step.figures.get("energy", _NAN)
        self._products = step.products_per_solve

    def row(self, row: Snapshot) -> str:
        """The line of a stored time."""
        self.energy = row.figures.get("energy", _NAN)
        return self.line(row.state.time) + self.stored(row)

    def stored(self, row: Snapshot) -> str:
        """What the line of a stored time says at its end."""
        moved = row.figures.get("map_displacement", _NAN)
        error = row.figures["map_error"] / moved if moved > 0 else None
        return "  stored" + (f"  map error {error:.2e}" if error else "")

    def line(self, time_now: float) -> str:
        return (
            f"step {self.steps:5d}  t {time_now:8.4f}  energy {self.energy:12.6g}  "
            f"products/solve {self._products:6.1f}"
        )


def event_log(*, steps: int = 0) -> Observer:
    """Writes rows and stops, and at level DEBUG steps, to the log of the package."""
    return _EventLog(_Status(steps))


class _EventLog:
    """A line in the log for every event."""

    def __init__(self, status: _Status) -> None:
        self._status = status

    def on_step(self, step: StepRecord) -> None:
        self._status.step(step)
        if LOG.isEnabledFor(DEBUG):
            LOG.debug(self._status.line(step.end))

    def on_row(self, row: Snapshot) -> None:
        LOG.info(self._status.row(row))

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        LOG.info(self._status.line(state.time) + "  stopped")

    def on_end(self) -> None:
        return


class ProgressBar:
    """A bar with the time left, for a terminal."""

    def __init__(self, start: float, until: float, stream: TextIO | None, status: _Status) -> None:
        self._start = start
        self._status = status
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
            console=Console(file=stream),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=until - start)
        self._bar.start()

    def on_step(self, step: StepRecord) -> None:
        self._status.step(step)
        self._bar.update(
            self._task,
            completed=step.end - self._start,
            description=self._status.line(step.end),
        )

    def on_row(self, row: Snapshot) -> None:
        return

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        self._bar.update(self._task, description=f"stopped  {self._status.line(state.time)}")

    def on_end(self) -> None:
        self._bar.stop()


class ProgressLines:
    """A line at every stored time, and at least every ten seconds, for a log."""

    def __init__(
        self,
        start: float,
        until: float,
        stream: TextIO | None,
        status: _Status,
        every: float = 10.0,
    ) -> None:
        self._until, self._stream, self._every = until, stream, every
        self._status = status
        self._begun = self._shown = time.monotonic()
        self._from: float | None = None  # where this process took the run up

    def on_step(self, step: StepRecord) -> None:
        self._status.step(step)
        if time.monotonic() - self._shown >= self._every:
            self._show(step.end, "")

    def on_row(self, row: Snapshot) -> None:
        self._status.energy = row.figures.get("energy", _NAN)
        self._show(row.state.time, self._status.stored(row))

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        self._show(state.time, "  stopped")

    def on_end(self) -> None:
        return

    def _show(self, now: float, tail: str) -> None:
        self._shown = time.monotonic()
        if self._from is None:
            self._from = now
        done = (now - self._from) / max(self._until - self._from, 1e-300)
        left = "?"
        if done > 0:
            left = format((self._shown - self._begun) * (1 - done) / done, ".0f")
        if self._stream is not None:
            line = f"{self._status.line(now)}  left {left:>6} s{tail}"
            print(line, file=self._stream, flush=True)
