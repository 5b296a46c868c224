"""Samples in files of several formats, written slice by slice."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = ("x", "score", "z", "log_density", "log_weight")


class SampleTable(ABC):
    """n samples as rows of x, score, z, log ρ and log w, (n, 3d + 2)."""

    rows_at_once = 65536

    def __init__(self, count: int, dimension: int, dtype: np.dtype, time: float, seed: int) -> None:
        self.count, self.dimension, self.dtype = count, dimension, dtype
        self.time, self.seed = time, seed

    @abstractmethod
    def slices(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Numbers of samples and their rows, one after another."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array."""
        return (self.count, self.dimension) if name in _NAMES[:3] else (self.count,)

    def of(self, name: str, rows: np.ndarray) -> np.ndarray:
        """What some rows hold of an array."""
        d, place = self.dimension, _NAMES.index(name)
        if place < 3:
            return np.ascontiguousarray(rows[:, place * d : (place + 1) * d])
        return np.ascontiguousarray(rows[:, 3 * d + place - 3])

    @property
    def scalars(self) -> dict[str, np.ndarray]:
        """time and seed."""
        return {"time": np.asarray(self.time), "seed": np.asarray(self.seed)}


def _npz(table: SampleTable, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in _NAMES:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(table.dtype),
                    "fortran_order": False, "shape": table.shape(name),
                }  # fmt: skip
                np.lib.format.write_array_header_1_0(file, header)
                for _, rows in table.slices():
                    file.write(table.of(name, rows).data)
        for name, value in table.scalars.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def _zarr(table: SampleTable, path: Path) -> None:
    import zarr

    group = zarr.open_group(path, mode="w")
    arrays = {
        name: group.create_array(
            name, shape=(shape := table.shape(name)), dtype=table.dtype,
            chunks=(min(table.rows_at_once, table.count), *shape[1:]),
            dimension_names=("sample", "axis")[: len(shape)],
        )
        for name in _NAMES
    }  # fmt: skip
    for span, rows in table.slices():
        for name, array in arrays.items():
            array[span] = table.of(name, rows)
    for name, value in table.scalars.items():
        group.create_array(name, data=value, dimension_names=())


def _netcdf(table: SampleTable, path: Path) -> None:
    """NetCDF 3 with 64-bit offsets, in which no array has more than 4 GiB."""
    from scipy.io import netcdf_file

    largest = table.count * table.dimension * table.dtype.itemsize
    if largest >= 2**32:
        raise ValueError(
            f"an array of {largest / 2**30:.1f} GiB does not fit into NetCDF 3: take .zarr"
        )
    with netcdf_file(path, "w", version=2) as file:
        file.createDimension("sample", table.count)
        file.createDimension("axis", table.dimension)
        # A variable is held in memory until the file is closed.
        for name in _NAMES:
            dimensions = ("sample", "axis")[: len(table.shape(name))]
            variable = file.createVariable(name, table.dtype.newbyteorder(">"), dimensions)
            for span, rows in table.slices():
                variable[span] = table.of(name, rows)
        file.createVariable("time", ">f8", ())[...] = table.time
        file.createVariable("seed", ">i4", ())[...] = table.seed


def _parquet(table: SampleTable, path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    writer: Any = None
    for _, rows in table.slices():
        columns = {}
        for name in _NAMES:
            values = table.of(name, rows)
            if values.ndim == 1:
                columns[name] = values
            else:
                columns |= {f"{name}_{j + 1}": values[:, j] for j in range(table.dimension)}
        columns |= {name: np.full(len(rows), value) for name, value in table.scalars.items()}
        some = pyarrow.table(columns)
        writer = writer or ParquetWriter(path, some.schema)
        writer.write_table(some)
    writer.close()


FORMATS: dict[str, Callable[[SampleTable, Path], None]] = {
    ".zarr": _zarr, ".npz": _npz, ".nc": _netcdf, ".parquet": _parquet,
}  # fmt: skip
"""Writers by the endings of their files."""
