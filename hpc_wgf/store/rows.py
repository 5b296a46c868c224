"""The arrays of an open store as rows are added to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import BitRound
from zarr.storage import StorePath

from ..columns import Column
from .checkpoint import StepColumns
from .chunk_files import ChunkFiles
from .files import PlainFiles
from .metadata import StoreMetadata
from .schema import FIGURES, PARTICLE_TIME, ROUND_BITS, STEP_FIGURES, TIME, labels
from .stages import Stage
from .tables import GrowingTable

_A_FILE_EACH = ("theta", "velocity", "error_state", "method_state")
_SAMPLES = ("particles", "log_density")
_TABLES = (TIME, PARTICLE_TIME, FIGURES, STEP_FIGURES)


class RowArrays:
    """Writes rows, steps and stages into the arrays of a store, none of which counts before the
    metadata that show it are published. Errors of its methods: `OSError`, `ValueError`."""

    def __init__(self, path: Path, metadata: StoreMetadata) -> None:
        documents = metadata.arrays
        self._path = path
        self._files = {
            name: ChunkFiles(path, name, documents[name])
            for name in (*_A_FILE_EACH, *_SAMPLES, *_TABLES)
            if name in documents
        }
        self._tables = {
            name: GrowingTable(self._files[name], _Committed(path, name, documents[name]))
            for name in _TABLES
            if name in documents
        }
        self._row_columns = labels(documents[FIGURES]["attributes"])
        self._step_columns = labels(documents[STEP_FIGURES]["attributes"])
        bits = documents["particles"]["attributes"].get(ROUND_BITS)
        self._round = None if bits is None else BitRound(bits)
        self._weights = documents.get("log_weight")

    def write_samples(
        self, entry: int, span: slice, particles: np.ndarray, log_density: np.ndarray
    ) -> None:
        """The samples `span`, in whole shards, as the entry of that number."""
        for name, values in (("particles", particles), ("log_density", log_density)):
            files = self._files[name]
            shard = files.shape[1]
            # Of shards that are written at once all copies would be held at once.
            for first in range(0, len(values), shard):
                part = values[first : first + shard]
                if name == "particles":
                    part = self._as_stored(part, files.dtype)
                place = (entry, (span.start + first) // shard, *[0] * (values.ndim - 1))
                files.write(place, part[None])

    def _as_stored(self, particles: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """In the precision and rounded to the bits in which they are kept."""
        if dtype == particles.dtype and self._round is None:
            return particles
        with np.errstate(over="ignore"):
            kept = particles.astype(dtype, copy=False)
        if self._round is not None:
            kept = self._round.encode(kept).view(dtype)
        if not np.isfinite(kept).all():
            largest = np.abs(particles).max()
            raise ValueError(f"particles at distances up to {largest:.3g} do not fit into {dtype}")
        return kept

    def write_weights(self, span: slice, log_weight: np.ndarray) -> None:
        """The weights of the samples `span`, in whole shards."""
        assert self._weights is not None
        array_at(self._path, "log_weight", self._weights)[span] = log_weight

    def write_particle_time(self, entry: int, time: float) -> None:
        """The time of the particles, in a store where not all rows have any."""
        if PARTICLE_TIME in self._tables:
            self._tables[PARTICLE_TIME].add(entry, np.array([time]))

    def row_table(self, figures: Mapping[str, float]) -> np.ndarray:
        """(1, columns), figures of a row. Errors: `ValueError` where they are not those that are
        declared."""
        return _table(self._row_columns, {name: [value] for name, value in figures.items()}, 1)

    def step_table(self, steps: StepColumns) -> np.ndarray:
        """(steps, columns), figures of steps. Errors: as for `row_table`."""
        count = len(next(iter(steps.values()), ()))
        if not count:
            return np.empty((0, len(self._step_columns)))
        return _table(self._step_columns, steps, count)

    def write_row(
        self, row: int, time: float, figures: np.ndarray,
        vectors: Mapping[str, np.ndarray | None],
    ) -> None:  # fmt: skip
        """What all ranks know of a row. `vectors`: as `_A_FILE_EACH` names them."""
        self._tables[FIGURES].add(row, figures)
        self._tables[TIME].add(row, np.array([time]))
        for name, values in vectors.items():
            if values is not None:
                self._write_vector(name, row, values)

    def _write_vector(self, name: str, row: int, values: np.ndarray) -> None:
        """One of a stage with more parameters than the first takes several chunks."""
        files = self._files[name]
        width = files.shape[1]
        for number, first in enumerate(range(0, len(values), width)):
            files.write((row, number), values[None, first : first + width])

    def write_steps(self, first: int, figures: np.ndarray) -> None:
        """The figures of the steps from number `first`."""
        self._tables[STEP_FIGURES].add(first, figures)

    def write_stage(self, number: int, stage: Stage, metadata: StoreMetadata) -> None:
        """The initial parameters of a stage, in a store of that metadata."""
        array = array_at(self._path, "stage_theta", metadata.arrays["stage_theta"])
        array[number, : len(stage.theta)] = stage.theta


class _Committed:
    """Rows of an array as they lie there."""

    def __init__(self, path: Path, name: str, document: Mapping[str, Any]) -> None:
        self._path, self._name, self._document = path, name, document

    def __call__(self, first: int, last: int) -> np.ndarray:
        shape = [last, *self._document["shape"][1:]]
        array = array_at(self._path, self._name, {**self._document, "shape": shape})
        return np.asarray(array[first:last])


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
