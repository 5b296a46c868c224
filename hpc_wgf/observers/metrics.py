"""The figures of steps and rows as lines of JSON, for plots while a run goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ..errors import InputError, RunError
from ..methods.base import State
from .base import Memory, Snapshot, StepRecord


class Metrics:
    """Writes one JSON object a line: of an accepted step {"event": "step", …figures}, of a stored
    row {"event": "row", …}, of a stop on request {"event": "stop"}; figures by the names of their
    columns, null where they are not finite.

    For rank 0 alone. Every line is flushed. A resumed run appends {"event": "resume", "time": t}
    and its own lines: those of a killed run that lie at or beyond t are then taken anew.
    """

    def __init__(self, path: Path, *, resumed: bool = False) -> None:
        """`path`: the file, made with the first line.

        Errors: `InputError` for a new run where there is such a file already."""
        if not resumed and path.exists():
            raise InputError(
                f"{path} exists already: give --metrics another file, or take that one away"
            )
        self._path, self._resumed = path, resumed
        self._file: TextIO | None = None

    def on_step(self, step: StepRecord) -> None:
        self._write("step", step.time, step.figures)

    def on_row(self, row: Snapshot) -> None:
        self._write("row", row.state.time, row.figures)

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        self._write("stop", state.time, {"steps_taken": state.step, "wall_seconds": seconds})

    def on_end(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, event: str, time: float, figures: Mapping[str, float]) -> None:
        """Errors: `RunError` where the file cannot be written."""
        lines = [{"event": event, "time": time, **figures}]
        if self._file is None and self._resumed:
            lines.insert(0, {"event": "resume", "time": time})
        try:
            if self._file is None:
                self._file = self._path.open("a" if self._resumed else "x", encoding="utf-8")
            for line in lines:
                plain = {key: _finite(value) for key, value in line.items()}
                self._file.write(json.dumps(plain, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise RunError(
                f"cannot write to the metrics {self._path}: {error.strerror}. All committed rows "
                "are intact; resume the run when the cause is mended"
            ) from error


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None
