"""Writes rows and steps to the store, a row and the steps before it in one commit."""

from __future__ import annotations

import numpy as np

from ..methods import State
from ..store import SCHEMA, Checkpoint, RunWriter, StepColumns, step_columns
from .base import Memory, Snapshot, StepRecord


class Recorder:
    """Steps wait in memory for the row that follows them; the store never holds half of them."""

    def __init__(self, writer: RunWriter, steps: StepColumns | None = None) -> None:
        """`steps`: those that a checkpoint has kept waiting."""
        self._writer = writer
        self._before = steps or {}
        self._steps: list[StepRecord] = []

    def on_step(self, step: StepRecord) -> None:
        self._steps.append(step)

    def _waiting(self) -> StepColumns:
        columns = step_columns(self._steps)
        return {name: [*self._before.get(name, ()), *columns[name]] for name in columns}

    def on_row(self, row: Snapshot) -> None:
        self._writer.commit(
            row_scalars(row),
            self._waiting(),
            theta=row.state.theta.cpu().numpy(),
            particles=row.particles.cpu().numpy(),
            log_density=row.log_density.cpu().numpy(),
        )
        self._before, self._steps = {}, []

    def on_stop(self, state: State, memory: Memory, seconds: float) -> None:
        self._writer.keep(
            Checkpoint(
                time=state.time,
                step=state.step,
                step_size=state.step_size,
                last_error=state.last_error,
                wall_seconds=seconds,
                theta=state.theta.cpu().numpy(),
                steps=self._waiting(),
                memory=memory,
            )
        )

    def on_end(self) -> None:
        self._writer.close()


class MemoryRecorder:
    """Keeps the figures of rows and steps in memory, named as in the store."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._steps: list[StepRecord] = []

    def on_step(self, step: StepRecord) -> None:
        self._steps.append(step)

    def on_row(self, row: Snapshot) -> None:
        self._rows.append(row_scalars(row))

    def on_stop(self, state: State, memory: Memory, seconds: float) -> None:
        return

    def on_end(self) -> None:
        return

    def columns(self) -> dict[str, np.ndarray]:
        """Array by name, as a store would give them."""
        rows = {name: np.array([row[name] for row in self._rows]) for name in SCHEMA.row_scalars}
        return rows | {name: np.array(c) for name, c in step_columns(self._steps).items()}


def row_scalars(row: Snapshot) -> dict[str, float]:
    """The scalars of a row, named as in the store."""
    state = row.state
    return {name: getattr(row, name) for name in SCHEMA.row_fields} | {
        "time": state.time,
        "steps_taken": state.step,
        "next_step_size": state.step_size,
        "controller_error": state.last_error,
    }
