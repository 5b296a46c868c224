"""Reads a run's store: committed rows only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from ..columns import STEP_PREFIX, Column
from ..errors import InputError
from .attributes import DIGEST, decoded, digest
from .dataset import labelled_dataset
from .older import OLDER, older_columns
from .schema import ARRAYS, FIGURES, PARTICLE_TIME, SCHEMA_VERSION, STEP, STEP_FIGURES, TIME, labels
from .stages import STAGES, StoredStage

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class StoredRun:
    """A store as it stood when opened; rows committed later are not seen."""

    path: Path
    """Where it lies."""

    group: Any
    """The Zarr group, for arrays that are read in part: `group["particles"][row, :100]`."""

    attributes: Mapping[str, Any]
    """What the store says of the run."""

    @property
    def schema(self) -> int:
        """The version of the schema."""
        return int(self.attributes["schema_version"])

    def check_resumable(self) -> None:
        """Errors: `InputError` for a store to which no row can be added: one of an older schema, or
        one whose attributes or arrays are not those that were written."""
        if self.schema in OLDER:
            raise InputError(
                f"{self.path} was written by an older version (schema {self.schema}): its "
                "figures can be read, its maps cannot be built again, so that it cannot be "
                "resumed. Use the version that wrote it, or run it again into a new store"
            )
        if not self.sealed:
            raise self.damaged("its attributes are not those that were written, the digest differs")
        for name in ARRAYS:
            self._array(name)

    @property
    def sealed(self) -> bool:
        """Whether the attributes are those that were written, as their digest tells."""
        given = dict(self.group.attrs)
        return given.get(DIGEST) == digest(given)

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
        return InputError(
            f"damaged: {self.path}: {what}. `hpc-wgf check {self.path}` lists what is wrong; "
            "restore the store from a copy, or run anew into another one"
        )

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
        return tuple(column for attributes in tables for column in labels(attributes))

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
        except (KeyError, TypeError) as error:
            raise self.damaged(f"its attribute {STAGES} cannot be read") from error

    def column(self, key: str) -> np.ndarray:
        """All of one figure or array: `energy` (time,), `step_products` (step,), `theta` (time,
        parameter). A figure that the run does not have is not-a-number, so that runs of other
        methods and older ones can be read alike."""
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
        if key not in self.group:
            return self.column(key)[-1]
        array = self.group[key]
        return array[array.shape[0] - 1]

    def theta(self, row: int) -> np.ndarray:
        """(p,), the parameters at a row, as many as its stage has; −1 is the last row."""
        row = row % self.rows
        values = np.asarray(self.group["theta"][row])
        stages = self.stages
        return values[: stages[self.stage_of(row)].parameters] if stages else values

    def stage_of(self, row: int) -> int:
        """The stage of a row. Errors: `InputError` where it is missing."""
        stage = self.column("stage")[row]
        if np.isnan(stage):
            raise self.damaged(f"the stage of row {row} is missing")
        return int(stage)

    @property
    def particle_times(self) -> np.ndarray:
        """The times at which particles and their log ρ are stored: all rows', or fewer."""
        along = self.group["particles"].metadata.dimension_names[0]
        return self.column(PARTICLE_TIME if along == PARTICLE_TIME else TIME)

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


def open_run(path: Path | str) -> StoredRun:
    """Open the store at `path` for reading.

    Errors: `InputError` where there is none, or one of a schema that this version cannot read.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise InputError(f"no store at {path}: give the folder that `hpc-wgf run` wrote")
    try:
        group = zarr.open_group(path, mode="r")
        version = group.attrs.get("schema_version")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable Zarr group: {error}") from error
    if version is None:
        raise InputError(f"{path} is a Zarr group, but not one written by hpc-wgf")
    if version not in (SCHEMA_VERSION, *OLDER):
        raise InputError(
            f"{path} has store schema {version}, this version of hpc-wgf reads up to "
            f"{SCHEMA_VERSION}: use the version that wrote it"
        )
    try:
        return StoredRun(path, group, decoded(group.attrs))
    except ValueError as error:
        raise InputError(f"the attributes of {path} are damaged: {error}") from error
