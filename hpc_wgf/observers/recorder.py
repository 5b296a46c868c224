"""Keep the rows and steps of a run: in the store, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..columns import STEP_PREFIX
from ..methods.base import State
from ..store import Checkpoint, RunWriter, Stage, StepColumns
from .base import Memory, Snapshot, StepRecord


class Recorder:
    """Hands a row and the steps before it to the store in one commit. Steps wait in memory for
    the row that follows them; the store never holds half of them."""

    def __init__(
        self, writer: RunWriter, steps: StepColumns | None = None, *, particles_every: int = 1,
        attributes: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """`steps`: those that a checkpoint has kept waiting. `particles_every`: rows of which one
        has particles, beside the last. `attributes`: those of the store that change with its rows,
        asked for on every rank."""
        self._writer = writer
        self._before = steps or {}
        self._steps: list[StepRecord] = []
        self._every = particles_every
        self._attributes = attributes

    def on_step(self, step: StepRecord) -> None:
        self._steps.append(step)
        self._writer.settle()

    def _waiting(self) -> StepColumns:
        """The steps since the last row, those of the checkpoint first."""
        waiting = {name: list(column) for name, column in self._before.items()}
        for step in self._steps:
            for name, value in step.figures.items():
                waiting.setdefault(name, []).append(value)
        return waiting

    def on_row(self, row: Snapshot) -> None:
        velocity = None if row.velocity is None else row.velocity.cpu().numpy()
        stage = None
        if (new := row.new_stage) is not None:
            stage = Stage(new.map, row.state.time, new.theta.cpu().numpy())
        has_particles = row.last or self._writer.rows % self._every == 0
        self._writer.commit(
            row.state.time,
            row.figures,
            self._waiting(),
            theta=row.state.theta.cpu().numpy(),
            velocity=velocity,
            particles=row.particles if has_particles else None,
            log_density=row.log_density if has_particles else None,
            log_weight=row.log_weight,
            error_state=row.error_state,
            method_state=None if (kept := row.state.kept) is None else kept.cpu().numpy(),
            stage=stage,
            attributes=None if self._attributes is None else self._attributes(),
        )
        self._before, self._steps = {}, []
        # From the first row on a run that is killed has begun.
        if row.last or self._writer.rows == 1:
            self._writer.finish()

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
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
        """Who has opened the store closes it."""


class MemoryRecorder:
    """Keeps the figures of rows and steps in memory."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._steps: list[dict[str, float]] = []

    def on_step(self, step: StepRecord) -> None:
        self._steps.append({STEP_PREFIX + name: value for name, value in step.figures.items()})

    def on_row(self, row: Snapshot) -> None:
        self._rows.append({"time": row.state.time, **row.figures})

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        return

    def on_end(self) -> None:
        return

    def columns(self) -> dict[str, np.ndarray]:
        """Arrays by the keys of their columns, as `StoredRun.column` gives them; without those of
        the steps where none was taken."""
        return {
            key: np.array([entry[key] for entry in entries])
            for entries in (self._rows, self._steps)
            for key in (entries[0] if entries else ())
        }
