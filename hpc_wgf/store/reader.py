"""Reads a run's store: committed rows only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import InputError
from .schema import OLDER, SCHEMA_VERSION


@dataclass(frozen=True)
class StoredRun:
    """A store as it stood when opened; rows committed later are not seen."""

    path: Path
    group: Any
    attributes: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Committed rows."""
        return int(self.group["time"].shape[0])

    @property
    def steps(self) -> int:
        """Steps before the last committed row."""
        return int(self.group["step_time"].shape[0])

    def column(self, name: str) -> np.ndarray:
        """All of one array, e.g. `energy` (time,) or `step_products` (step,). Scalars that a
        store of an older schema does not have are not-a-number."""
        if name in OLDER.get(self.attributes["schema_version"], ()):
            return np.full(self.steps if name.startswith("step_") else self.rows, np.nan)
        return np.asarray(self.group[name][:])

    def last(self, name: str) -> Any:
        """The last row of one array along `time`."""
        return self.group[name][self.rows - 1]


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
    if version != SCHEMA_VERSION and version not in OLDER:
        raise InputError(
            f"{path} has store schema {version}, this version of hpc-wgf reads up to "
            f"{SCHEMA_VERSION}: use the version that wrote it"
        )
    return StoredRun(path, group, dict(group.attrs))
