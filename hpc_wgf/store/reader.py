"""Reads a run's store: committed rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..columns import STEP_PREFIX, Column
from ..errors import InputError
from .checkpoint import CHECKPOINT, Checkpoint
from .damage import UNREADABLE, damaged, in_one_line
from .dataset import labelled_dataset
from .older import OLDER, older_columns
from .schema import FIGURES, PARTICLE_TIME, ROUND_BITS, STEP, STEP_FIGURES, TIME, labels
from .soundness import flaw_of_figure, flaw_of_numbers, flaw_of_times
from .stages import STAGES, StoredStage

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class StoredRun:
    """A store as it stood when opened; rows committed later are not seen.

    What its methods return has been found sound; they raise `InputError`, which begins with
    "damaged", where it is not."""

    path: Path
    """Where it lies."""

    group: Any
    """The Zarr group. What is read through it is checked against checksums alone; `read` also says
    in one line what is damaged."""

    attributes: Mapping[str, Any]
    """What the store says of the run."""

    documents: Mapping[str, Mapping[str, Any]]
    """The committed metadata of every array by name."""

    @property
    def schema(self) -> int:
        """The version of the schema."""
        return int(self.attributes["schema_version"])

    def check_resumable(self) -> None:
        """Errors: `InputError` for a store to which no row can be added, one of an older schema."""
        if self.schema in OLDER:
            raise InputError(
                f"{self.path} was written by an older version (schema {self.schema}): its "
                "figures can be read, its maps cannot be built again, so that it cannot be "
                "resumed. Use the version that wrote it, or run it again into a new store"
            )

    def configuration(self, instead: str) -> Mapping[str, Any]:
        """The tables of the run file with which the run began.

        Errors: `InputError` for a run that began from Python objects; `instead` says what to do
        then."""
        found: Mapping[str, Any] | None = self.attributes["configuration"]
        if found is None:
            raise InputError(
                f"{self.path} was written from Python objects, which a store cannot hold: {instead}"
            )
        return found

    def damaged(self, what: str) -> InputError:
        """The error for a store that cannot be relied on."""
        return damaged(self.path, f"{what}. `hpc-wgf check {self.path}` lists what is wrong")

    def read(self, name: str, at: Any = slice(None)) -> np.ndarray:
        """An array or a part of it: `read("particles", (row, slice(100)))`."""
        try:
            return np.asarray(self._array(name)[at])
        except InputError:
            raise
        except UNREADABLE as error:
            raise self.damaged(f"{name} cannot be read: {in_one_line(error)}") from error

    def _finite(self, name: str, at: Any) -> np.ndarray:
        """The same, of numbers that are always finite."""
        values = self.read(name, at)
        if flaw := flaw_of_numbers(values):
            row = f", row {at[0]}" if isinstance(at, tuple) else ""
            raise self.damaged(f"{name}{row}: {flaw}")
        return values

    def _array(self, name: str) -> Any:
        """The Zarr array. Errors: `InputError` where it is missing."""
        if name not in self.group:
            raise self.damaged(f"the array {name} is missing")
        return self.group[name]

    @property
    def rows(self) -> int:
        """Committed rows."""
        return int(self._array("time").shape[0])

    @property
    def steps(self) -> int:
        """Steps before the last committed row."""
        steps = "step_time" if self.schema in OLDER else STEP_FIGURES
        return int(self._array(steps).shape[0])

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The figures that the run has, of its rows and of its steps."""
        if self.schema in OLDER:
            return older_columns(self.group)
        tables = (self._array(name).attrs for name in (FIGURES, STEP_FIGURES))
        try:
            return tuple(column for attributes in tables for column in labels(attributes))
        except UNREADABLE as error:
            raise self.damaged(f"its figures are not named: {in_one_line(error)}") from error

    @cached_property
    def stages(self) -> tuple[StoredStage, ...]:
        """Its maps one after another, none for a store of an older schema.

        Errors: `InputError` where they are damaged, or one is missing that rows belong to."""
        if self.schema in OLDER:
            return ()
        stages = self.described_stages
        found = self._array("stage_theta").shape[0]
        if found != len(stages):
            raise self.damaged(
                f"{len(stages)} stages are described, parameters of {found} are stored"
            )
        needed = 1 + int(np.nanmax(self.column("stage"), initial=0))
        if found < needed:
            raise self.damaged(f"it has rows of {needed} stages, but {found} are stored")
        for number, stage in enumerate(stages):
            if not 0 <= stage.row < max(self.rows, 1):
                raise self.damaged(f"stage {number} begins at row {stage.row} of {self.rows}")
        return stages

    @cached_property
    def described_stages(self) -> tuple[StoredStage, ...]:
        """The stages as the attribute lists them, whatever rows and parameters are stored.

        Errors: `InputError` where it cannot be read."""
        try:
            return tuple(map(StoredStage.of, self.attributes[STAGES]))
        except (LookupError, TypeError) as error:
            raise self.damaged(f"its attribute {STAGES} cannot be read") from error

    def column(self, key: str) -> np.ndarray:
        """All of one figure or array: `energy` (time,), `step_products` (step,), `theta` (time,
        parameter). A figure that the run does not have is not-a-number, so that runs of other
        methods and older ones can be read alike.

        Errors: `InputError` where times or figures are missing, or what is there cannot be
        read."""
        try:
            values = self.values(key)
        except InputError:
            raise
        except UNREADABLE as error:
            raise self.damaged(f"{key} cannot be read: {in_one_line(error)}") from error
        if flaw := self._flaw(key, values):
            raise self.damaged(f"{key}: {flaw}")
        return values

    def _flaw(self, key: str, values: np.ndarray) -> str | None:
        if key in (TIME, PARTICLE_TIME):
            return flaw_of_times(values)
        column = self._labelled.get(key)
        return None if column is None else flaw_of_figure(column, values)

    def values(self, key: str) -> np.ndarray:
        """The same as it lies there, whatever is missing. Errors: `damage.UNREADABLE`."""
        if key in self.group:
            return np.asarray(self.group[key][:])
        if (column := self._labelled.get(key)) is None:
            return np.full(self.steps if key.startswith(STEP_PREFIX) else self.rows, np.nan)
        values = self._table(column.along)[:, self._places[key]]
        whole = column.integer and np.isfinite(values).all()
        return values.astype(np.int64) if whole else values

    @cached_property
    def _labelled(self) -> dict[str, Column]:
        return {column.key: column for column in self.columns}

    @cached_property
    def _places(self) -> dict[str, int]:
        """The position of every figure in its array."""
        along = {axis: [c.key for c in self.columns if c.along == axis] for axis in (TIME, STEP)}
        return {key: place for keys in along.values() for place, key in enumerate(keys)}

    def _table(self, along: str) -> np.ndarray:
        return self._rows_table if along == TIME else self._steps_table

    @cached_property
    def _rows_table(self) -> np.ndarray:
        return np.asarray(self._array(FIGURES)[:])

    @cached_property
    def _steps_table(self) -> np.ndarray:
        return np.asarray(self._array(STEP_FIGURES)[:])

    def last(self, key: str) -> Any:
        """The last entry of one figure or array, e.g. the particles (sample, axis)."""
        if key in self.group and key != TIME:
            return self.read(key, self.group[key].shape[0] - 1)
        return self.column(key)[-1]

    def theta(self, row: int) -> np.ndarray:
        """(p,), the parameters at a row, as many as its stage has; −1 is the last row."""
        row = row % self.rows
        stages = self.stages
        count = stages[self.stage_of(row)].parameters if stages else None
        return self._finite("theta", (row, slice(count)))

    def initial_theta(self, stage: int) -> np.ndarray:
        """(p,), the parameters with which the map of a stage began to move."""
        return self._finite("stage_theta", (stage, slice(self.stages[stage].parameters)))

    def velocity(self, row: int) -> np.ndarray | None:
        """(p,), η at a row; None where the method has none."""
        values = self.read("velocity", (row, slice(len(self.theta(row)))))
        return None if np.isnan(values).all() else values

    def particles(self, row: int, samples: slice = slice(None)) -> np.ndarray:
        """(samples, d), particles of one of `particle_times`, whose number is `row`."""
        return self._finite("particles", (row, samples))

    def error_state(self, row: int) -> np.ndarray | None:
        """What the estimate of the error goes on with at a row; None where it has none."""
        if "error_state" not in self.group:
            return None
        values = self.read("error_state", row)
        if np.isnan(values).all():
            raise self.damaged(f"error_state, row {row} is missing")
        return values

    def method_state(self, row: int) -> np.ndarray | None:
        """What the method goes on with at a row, beside θ; None where it has nothing."""
        if "method_state" not in self.group:
            return None
        return self._finite("method_state", (row, slice(None)))

    def log_weight(self, samples: slice = slice(None)) -> np.ndarray | None:
        """(samples,), the logarithms of the importance weights w of the particles, with which E[a]
        is the mean of w a; None where all are 1."""
        return self._finite("log_weight", samples) if "log_weight" in self.group else None

    def stage_of(self, row: int) -> int:
        """The stage of a row."""
        stage = self.column("stage")[row]
        if np.isnan(stage):
            raise self.damaged(f"the stage of row {row} is missing")
        return int(stage)

    def checkpoint(self) -> Checkpoint | None:
        """The state after the last row at which the run was stopped; None where there is none."""
        return Checkpoint.read(self.path, self.rows, self.attributes.get(CHECKPOINT))

    @property
    def particle_times(self) -> np.ndarray:
        """The times at which particles and their log ρ are stored: all rows', or fewer."""
        along = self._array("particles").metadata.dimension_names[0]
        return self.column(PARTICLE_TIME if along == PARTICLE_TIME else TIME)

    @property
    def particle_rows(self) -> np.ndarray:
        """The rows of these times."""
        return np.searchsorted(self.column(TIME), self.particle_times)

    @property
    def particle_precision(self) -> float:
        """The relative precision ε of the stored particles, which may be less than the run's."""
        array = self._array("particles")
        bits = array.attrs.get(ROUND_BITS, np.finfo(array.dtype).nmant)
        return float(2.0**-bits)

    def to_xarray(self) -> xarray.Dataset:
        """A labelled Dataset with one variable a figure; particles, their log ρ, parameters and
        velocities are read when they are asked for.

        Errors: `InputError` where xarray is not installed."""
        figures = {column: self.column(column.key) for column in self.columns}
        return labelled_dataset(self.path, self._lengths, figures, self.attributes)

    @property
    def _lengths(self) -> dict[str, int]:
        """Of every dimension."""
        arrays = [array for _, array in self.group.arrays()]
        named = [(array.metadata.dimension_names, array.shape) for array in arrays]
        return {name: length for pair in named for name, length in zip(*pair, strict=True)}
