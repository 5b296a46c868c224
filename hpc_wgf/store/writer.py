"""Writes a run: one writer per shard, a row committed by all ranks or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from ..errors import InputError, RunError
from ..parallel import Communicator, agreed
from .checkpoint import Checkpoint, StepColumns
from .reader import open_run
from .schema import INTEGERS, SCHEMA, SCHEMA_VERSION

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoreShape:
    """Sizes of the arrays. Stored samples come in shards of whole blocks; a shard has one
    writer, and is compressed in chunks of whole blocks near a mebibyte."""

    parameters: int
    dimension: int
    samples: int
    block: int
    blocks_per_shard: int
    dtype: str

    @property
    def shard(self) -> int:
        """Samples in a shard."""
        return self.block * self.blocks_per_shard

    @property
    def chunk(self) -> int:
        """Samples in a chunk, a divisor of the shard."""
        block_bytes = self.block * self.dimension * np.dtype(self.dtype).itemsize
        most = max(1, _CHUNK_BYTES // block_bytes)
        divisors = (
            k for k in range(1, self.blocks_per_shard + 1) if self.blocks_per_shard % k == 0
        )
        return self.block * max(k for k in divisors if k <= most)


class RunWriter:
    """The open store of a run on every rank. Make one with `create` or `reopen`.

    Errors: `InputError` where the store cannot be made or is in use; `RunError`, the same on all
    ranks and naming the one that failed, where a row cannot be written. Committed rows stay.
    """

    def __init__(
        self, path: Path, communicator: Communicator, span: slice, rows: int, steps: int
    ) -> None:
        """`span`: the samples that this rank writes, in whole shards."""
        self.path = path
        self._communicator = communicator
        self._span = span
        self._rows, self._steps = rows, steps
        self._lock: int | None = None

    @classmethod
    def create(
        cls, path: Path, communicator: Communicator, span: slice, *,
        shape: StoreShape, attributes: Mapping[str, Any],
    ) -> RunWriter:  # fmt: skip
        """A new store at `path`, which must not exist yet."""
        writer = cls(path, communicator, span, 0, 0)
        with agreed(communicator):
            if communicator.rank == 0:
                refuse_existing(path)
                try:
                    _create_arrays(path, shape, attributes)
                except OSError as error:
                    raise InputError(f"cannot create the store {path}: {error.strerror}") from error
                writer._acquire()
        return writer

    @classmethod
    def reopen(
        cls, path: Path, communicator: Communicator, span: slice, *,
        rows: int, steps: int, attributes: Mapping[str, Any],
    ) -> RunWriter:  # fmt: skip
        """The store at `path`, cut back to its committed `rows` and `steps`."""
        writer = cls(path, communicator, span, rows, steps)
        with agreed(communicator):
            if communicator.rank == 0:
                writer._acquire()
                if open_run(path).rows != rows:
                    raise InputError(f"{path} grew while it was being opened: resume it again")
                try:
                    writer._resize(rows, steps)
                    group = zarr.open_group(path, mode="r+", use_consolidated=False)
                    group.attrs.update(attributes)
                    _consolidate(path)
                except OSError as error:
                    raise InputError(
                        f"cannot write to the store {path}: {error.strerror}. Its committed rows "
                        "are intact; resume it where it can be written to"
                    ) from error
        return writer

    def commit(
        self, scalars: Mapping[str, float], steps: StepColumns, *,
        theta: np.ndarray, particles: np.ndarray, log_density: np.ndarray,
    ) -> None:  # fmt: skip
        """Append a row and the steps before it. Returns when every rank has written its part."""
        row, first_step = self._rows, self._steps
        last_step = first_step + len(next(iter(steps.values())))
        with agreed(self._communicator), _as_run_error(self.path):
            if self._communicator.rank == 0:
                self._resize(row + 1, last_step)
        with agreed(self._communicator), _as_run_error(self.path):
            group: Any = zarr.open_group(self.path, mode="r+", use_consolidated=False)
            group["particles"][row, self._span] = particles
            group["log_density"][row, self._span] = log_density
            if self._communicator.rank == 0:
                group["theta"][row] = theta
                for name, value in scalars.items():
                    group[name][row] = value
                for name, column in steps.items():
                    if column:
                        group[name][first_step:last_step] = np.asarray(column)
        with agreed(self._communicator), _as_run_error(self.path):
            if self._communicator.rank == 0:
                _consolidate(self.path)
                Checkpoint.remove(self.path)
        self._rows, self._steps = row + 1, last_step

    def keep(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint beside the committed rows; it lasts until the next one."""
        with agreed(self._communicator), _as_run_error(self.path):
            if self._communicator.rank == 0:
                checkpoint.write(self.path, self._rows)

    def close(self) -> None:
        """Let others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _resize(self, rows: int, steps: int) -> None:
        group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        for name in ("theta", "particles", "log_density", *SCHEMA.row_scalars):
            _resize(group[name], rows)
        for name in SCHEMA.step_fields:
            _resize(group[name], steps)

    def _acquire(self) -> None:
        """Lock the folder against a second writer; a killed process releases it by itself."""
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise InputError(
                f"{self.path} is being written by another process: wait for it or end it"
            ) from error


def refuse_existing(path: Path) -> None:
    """Errors: `InputError` where there is anything at `path`."""
    if os.path.lexists(path):
        what = "a run is stored there" if (path / "zarr.json").exists() else "it exists"
        raise InputError(
            f"will not write to {path}: {what}. Choose another --out, "
            f"or continue that run with: hpc-wgf resume {path}"
        )


def _create_arrays(path: Path, shape: StoreShape, attributes: Mapping[str, Any]) -> None:
    """The whole store in one rename: a process killed meanwhile leaves none that is half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        _fill(part / path.name, shape, attributes)
        (part / path.name).rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(path: Path, shape: StoreShape, attributes: Mapping[str, Any]) -> None:
    group = zarr.open_group(path, mode="w-", zarr_format=3, attributes=dict(attributes))
    n, dimension, parameters = shape.samples, shape.dimension, shape.parameters
    shard, chunk, dtype = shape.shard, shape.chunk, np.dtype(shape.dtype)
    for name, space in (("particles", (dimension,)), ("log_density", ())):
        group.create_array(
            name, shape=(0, n, *space), chunks=(1, chunk, *space), shards=(1, shard, *space),
            dtype=dtype, fill_value=np.nan, compressors=_compressors(),
            dimension_names=("time", "sample", *(["space"] if space else [])),
        )  # fmt: skip
    group.create_array(
        "theta", shape=(0, parameters), chunks=(1, parameters), dtype=dtype, fill_value=np.nan,
        compressors=_compressors(), dimension_names=("time", "parameter"),
    )  # fmt: skip
    for along, scalars in (("time", SCHEMA.row_scalars), ("step", tuple(SCHEMA.step_fields))):
        for name in scalars:
            integer = name in INTEGERS
            group.create_array(
                name, shape=(0,), chunks=(1024,), dtype="int64" if integer else "float64",
                fill_value=-1 if integer else np.nan, compressors=_compressors(),
                dimension_names=(along,),
            )  # fmt: skip
    group.attrs["schema_version"] = SCHEMA_VERSION
    _consolidate(path)


def _compressors() -> tuple[BloscCodec, Crc32cCodec]:
    """The checksum lets a damaged chunk be found: a compressor alone may read it without a word."""
    return BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle), Crc32cCodec()


def _resize(array: Any, length: int) -> None:
    if array.shape[0] != length:
        array.resize((length, *array.shape[1:]))


def _consolidate(path: Path) -> None:
    with warnings.catch_warnings():
        # Consolidated metadata are not in the v3 specification yet; we rely on nothing but
        # their being one file.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=Warning)
        warnings.filterwarnings("ignore", message="Object at checkpoint", category=Warning)
        zarr.consolidate_metadata(str(path))


class _as_run_error:
    """A failed write says which store, and that what was committed stays."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError):
            raise RunError(
                f"cannot write a row to {self._path}: {error}. All committed rows are intact; "
                f"when the cause is mended: hpc-wgf resume {self._path}"
            ) from error


def step_columns(steps: Sequence[Any]) -> StepColumns:
    """Columns of the step arrays from observed steps."""
    return {
        name: [getattr(step, attribute) for step in steps]
        for name, attribute in SCHEMA.step_fields.items()
    }
