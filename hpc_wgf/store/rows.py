"""The arrays of an open store, written through handles that stay open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import StorePath

from ..columns import Column
from .checkpoint import StepColumns
from .files import PlainFiles
from .metadata import StoreMetadata
from .schema import FIGURES, STAGE, STEP, STEP_FIGURES, TIME, labels
from .stages import Stage

_ENDLESS = 1 << 40  # a handle's own length, so that it need not be opened anew for every row


class RowArrays:
    """Writes rows, steps and stages into the arrays of a store, none of which counts before the
    metadata that show it are published."""

    def __init__(self, path: Path, metadata: StoreMetadata) -> None:
        endless = metadata.resized({TIME: _ENDLESS, STEP: _ENDLESS, STAGE: _ENDLESS}).arrays
        self._arrays: dict[str, Any] = {
            name: array_at(path, name, array) for name, array in endless.items()
        }
        self._row_columns = labels(metadata.arrays[FIGURES]["attributes"])
        self._step_columns = labels(metadata.arrays[STEP_FIGURES]["attributes"])

    def write_samples(
        self, row: int, span: slice, particles: np.ndarray, log_density: np.ndarray
    ) -> None:
        """The samples `span`, in whole shards."""
        for name, values in (("particles", particles), ("log_density", log_density)):
            array = self._arrays[name]
            shard = array.shards[1]
            # Of shards that are written at once all copies would be held at once.
            for first in range(0, len(values), shard):
                part = values[first : first + shard]
                begin = span.start + first
                array[row, begin : begin + len(part)] = part

    def write_weights(self, span: slice, log_weight: np.ndarray) -> None:
        """The weights of the samples `span`, in whole shards."""
        self._arrays["log_weight"][span] = log_weight

    def write_row(
        self, row: int, time: float, figures: Mapping[str, float],
        theta: np.ndarray, velocity: np.ndarray | None, error_state: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """What all ranks know of a row. Errors: `ValueError` for figures that are not declared."""
        columns = {name: [value] for name, value in figures.items()}
        self._arrays[FIGURES][row] = _table(self._row_columns, columns, 1)[0]
        self._arrays["time"][row] = time
        self._arrays["theta"][row, : len(theta)] = theta
        if velocity is not None:
            self._arrays["velocity"][row, : len(velocity)] = velocity
        if error_state is not None:
            self._arrays["error_state"][row] = error_state

    def write_steps(self, first: int, steps: StepColumns) -> None:
        """The steps from number `first`. Errors: as for `write_row`."""
        count = len(next(iter(steps.values()), ()))
        if count:
            table = _table(self._step_columns, steps, count)
            self._arrays[STEP_FIGURES][first : first + count] = table

    def write_stage(self, number: int, stage: Stage) -> None:
        """The initial parameters of a stage."""
        self._arrays["stage_theta"][number, : len(stage.theta)] = stage.theta


def array_at(path: Path, name: str, document: Mapping[str, Any]) -> Any:
    """The Zarr array of that document in the store at `path`, to be written."""
    return zarr.Array.from_dict(StorePath(PlainFiles(path), name), dict(document))


def _table(
    columns: Sequence[Column], values: Mapping[str, Sequence[float]], length: int
) -> np.ndarray:
    """(length, columns); not-a-number where an optional column is not given."""
    unknown = sorted(set(values) - {column.name for column in columns})
    missing = [c.name for c in columns if not c.optional and c.name not in values]
    if unknown or missing:
        raise ValueError(
            f"figures given but not declared: {unknown}; declared but not given: {missing}"
        )
    absent = [float("nan")] * length
    return np.array([values.get(column.name, absent) for column in columns], dtype=float).T
