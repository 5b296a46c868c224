"""Writes a run: one writer per shard, a row committed by all ranks or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr

from ..errors import InputError, RunError
from ..parallel import Communicator, agreed
from .checkpoint import Checkpoint, StepColumns
from .creation import StoreShape, consolidate, create_arrays
from .reader import open_run
from .schema import SCHEMA

_LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


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
        self._made = False

    @classmethod
    def create(
        cls, path: Path, communicator: Communicator, span: slice, *,
        shape: StoreShape, attributes: Mapping[str, Any],
    ) -> RunWriter:  # fmt: skip
        """A new store at `path`, which must not exist yet."""
        writer = cls(path, communicator, span, 0, 0)
        with writer._closed_on_failure(), agreed(communicator):
            if communicator.rank == 0:
                refuse_existing(path)
                try:
                    create_arrays(path, shape, attributes)
                    writer._acquire()
                    writer._made = True
                except OSError as error:
                    raise InputError(f"cannot create the store {path}: {error.strerror}") from error
        return writer

    @classmethod
    def reopen(
        cls, path: Path, communicator: Communicator, span: slice, *,
        rows: int, steps: int, attributes: Mapping[str, Any],
    ) -> RunWriter:  # fmt: skip
        """The store at `path`, cut back to its committed `rows` and `steps`."""
        writer = cls(path, communicator, span, rows, steps)
        with writer._closed_on_failure(), agreed(communicator):
            if communicator.rank == 0:
                try:
                    writer._acquire()
                    if open_run(path).rows != rows:
                        raise InputError(f"{path} grew while it was being opened: resume it again")
                    writer._resize(rows, steps)
                    group = zarr.open_group(path, mode="r+", use_consolidated=False)
                    group.attrs.update(attributes)
                    consolidate(path)
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
                consolidate(self.path)
                Checkpoint.remove(self.path)
        self._rows, self._steps = row + 1, last_step

    def keep(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint beside the committed rows; it lasts until the next one."""
        with agreed(self._communicator), _as_run_error(self.path, "a checkpoint"):
            if self._communicator.rank == 0:
                checkpoint.write(self.path, self._rows)

    def close(self) -> None:
        """Let others write. A store that was made here and has got no row, as the run failed
        before its first one, is taken away: it holds nothing, and would be in the way."""
        if self._lock is not None:
            if self._made and self._rows == 0 and self._is_empty():
                shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # a file that stays harms nobody
                if self._locked():
                    (self.path / _LOCK).unlink()
            os.close(self._lock)
            self._lock = None

    def _is_empty(self) -> bool:
        """As it lies there: a row may be committed though a rank was lost before saying so."""
        with suppress(InputError):
            return open_run(self.path).rows == 0
        return False

    def _resize(self, rows: int, steps: int) -> None:
        group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        for name in ("theta", "particles", "log_density", *SCHEMA.row_scalars):
            _resize(group[name], rows)
        for name in SCHEMA.step_fields:
            _resize(group[name], steps)

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """A process that fails to open a store may try again."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _acquire(self) -> None:
        """Lock the store against a second writer; a killed process releases it by itself.

        A file is locked, open for writing, as NFS carries no lock of a folder to its server.
        """
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                message = f"the file system of {self.path} has no locks: let nobody else write it"
                warnings.warn(message, stacklevel=2)
                return
            self._give_up(error)
        if not self._locked():  # removed by the one who had it, between our opening and locking
            self._give_up()

    def _locked(self) -> bool:
        """Whether the file that is locked is still the store's."""
        assert self._lock is not None
        try:
            return os.path.samestat(os.fstat(self._lock), os.stat(self.path / _LOCK))
        except FileNotFoundError:
            return False

    def _give_up(self, cause: OSError | None = None) -> NoReturn:
        assert self._lock is not None
        os.close(self._lock)  # and the file stays: it is the lock of another
        self._lock = None
        raise InputError(
            f"{self.path} is being written by another process: wait for it or end it"
        ) from cause


def refuse_existing(path: Path) -> None:
    """Errors: `InputError` where there is anything at `path`."""
    if os.path.lexists(path):
        what = "a run is stored there" if (path / "zarr.json").exists() else "it exists"
        raise InputError(
            f"will not write to {path}: {what}. Choose another --out, "
            f"or continue that run with: hpc-wgf resume {path}"
        )


def _resize(array: Any, length: int) -> None:
    if array.shape[0] != length:
        array.resize((length, *array.shape[1:]))


class _as_run_error:
    """A failed write says which store, and that what was committed stays."""

    def __init__(self, path: Path, part: str = "a row") -> None:
        self._path, self._part = path, part

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError):
            raise RunError(
                f"cannot write {self._part} to {self._path}: {error}. All committed rows are "
                f"intact; when the cause is mended: hpc-wgf resume {self._path}"
            ) from error


def step_columns(steps: Sequence[Any]) -> StepColumns:
    """Columns of the step arrays from observed steps."""
    return {
        name: [getattr(step, attribute) for step in steps]
        for name, attribute in SCHEMA.step_fields.items()
    }
