"""A row between the time loop and the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .checkpoint import CHECKPOINT
from .metadata import StoreMetadata
from .rows import RowArrays
from .schema import PARTICLE_TIME, STEP, TIME
from .stages import Stage

Sent = Callable[[], np.ndarray]
"""Samples that a rank writes, once they have arrived."""


@dataclass(frozen=True)
class PendingRow:
    """Copies of all that is stored of a row and of the steps before it."""

    row: int
    """Its number."""
    first_step: int
    """The number of the first of its steps."""
    entry: int
    """The number that its particles have among those that are stored, if it has any."""
    time: float
    """The time of the row."""
    figures: np.ndarray
    """(1, columns)."""
    step_figures: np.ndarray
    """(steps, columns)."""
    vectors: Mapping[str, np.ndarray | None]
    """theta, velocity and what the run goes on with, by name."""
    samples: tuple[Sent, Sent] | None
    """Particles and their log ρ; None for a row without particles."""
    log_weight: Sent | None
    """Weights of the samples, with the first row."""
    stage: Stage | None
    """A stage that begins here."""

    @property
    def next_step(self) -> int:
        """The number of the first step after it."""
        return self.first_step + len(self.step_figures)

    @property
    def next_entry(self) -> int:
        """The number of the next particles."""
        return self.entry + (self.samples is not None)

    def added_to(self, metadata: StoreMetadata) -> StoreMetadata:
        """The metadata of a store with this row."""
        lengths = {TIME: self.row + 1, STEP: self.next_step, PARTICLE_TIME: self.next_entry}
        longer = metadata.resized(lengths).with_attributes({CHECKPOINT: ""})
        return longer if self.stage is None else longer.with_stage(self.stage, self.row)

    def write_samples(self, arrays: RowArrays, span: slice) -> None:
        """One rank's part, the samples `span`. Errors: `OSError`, `ValueError`."""
        if self.samples is not None:
            particles, log_density = self.samples
            arrays.write_samples(self.entry, span, particles(), log_density())
        if self.log_weight is not None:
            arrays.write_weights(span, self.log_weight())

    def write_figures(self, arrays: RowArrays, after: StoreMetadata) -> None:
        """What all ranks know, into a store that has the metadata `after` then. Errors:
        `OSError`."""
        arrays.write_row(self.row, self.time, self.figures, self.vectors)
        arrays.write_steps(self.first_step, self.step_figures)
        if self.samples is not None:
            arrays.write_particle_time(self.entry, self.time)
        if self.stage is not None:
            arrays.write_stage(after.stages - 1, self.stage, after)
