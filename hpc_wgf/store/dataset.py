"""A store as a labelled xarray Dataset. xarray is needed by nothing else of the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..columns import STEP_PREFIX, Column
from ..errors import InputError
from .attributes import encoded
from .files import PlainFiles
from .schema import ARRAYS, FIGURES, STAGE, STEP, STEP_FIGURES, TIME

if TYPE_CHECKING:
    import xarray

_STEP_TIME = STEP_PREFIX + TIME
_RENAMED = {
    "space": "axis",  # in schemas 1 to 3
    STAGE: "stage_number",  # `stage` is a figure: the number of the stage at every time
}


def labelled_dataset(
    path: Path, lengths: Mapping[str, int], figures: Mapping[Column, np.ndarray],
    attributes: Mapping[str, Any],
) -> xarray.Dataset:  # fmt: skip
    """One variable a figure, of `figures`; all other arrays of the store at `path`, not yet read
    and cut to `lengths`, as rows may have been added since; coordinates along every dimension but
    the parameters'.

    Errors: `InputError` where xarray is not installed."""
    try:
        import xarray
    except ImportError as error:
        raise InputError(
            "a labelled Dataset needs xarray, which is not installed here: "
            "pip install 'hpc-wgf[analysis]'"
        ) from error
    files = PlainFiles(path, read_only=True)
    stored = xarray.open_zarr(files, consolidated=True, zarr_format=3)
    kept = {name: length for name, length in lengths.items() if name in stored.dims}
    stored = stored.isel({name: slice(length) for name, length in kept.items()})
    in_tables = {FIGURES, STEP_FIGURES} | {column.key for column in figures}
    data = stored.drop_vars(in_tables & set(stored.variables))
    data = data.rename_dims({name: new for name, new in _RENAMED.items() if name in data.dims})
    data = data.assign({column.key: _variable(column, v) for column, v in figures.items()})
    data = data.assign_coords(_numbers(data))
    data.attrs = encoded(attributes)
    return data.set_coords(_STEP_TIME)


def _variable(column: Column, values: np.ndarray) -> tuple[str, np.ndarray, dict[str, str]]:
    return column.along, values, {"long_name": column.long_name, "units": column.unit}


def _numbers(data: xarray.Dataset) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """The coordinates that count from 0 and are not stored: that of the steps, and in older stores
    those of samples and axes."""
    names = {STEP: "number of the step", **{n: ARRAYS[n].long_name for n in ("sample", "axis")}}
    return {
        name: (name, np.arange(data.sizes[name]), {"long_name": long_name, "units": "1"})
        for name, long_name in names.items()
        if name in data.dims and name not in data.coords
    }
