"""A state between two rows, left by a run that was asked to stop, from which it goes on bit for
bit. It lies in the store's folder beside the arrays, as one file that replaces the one before in
an atomic rename, and is void once the next row has been committed. The store's attribute
`checkpoint` holds its seal, so that one that is lost, changed or another run's is found out."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .damage import UNREADABLE, in_one_line
from .files import new_file, read_file

CHECKPOINT = "checkpoint"
"""The attribute that holds the seal of the checkpoint, empty where there is none."""

_FILE = "checkpoint.npz"
_PART = f"{_FILE}.part"
_STEPS, _MEMORY = "steps/", "memory/"
_SCALARS = ("time", "step", "step_size", "last_error", "wall_seconds")

StepColumns = dict[str, list[float]]


@dataclass(frozen=True)
class Checkpoint:
    """A state of the time loop in arrays, with the steps that wait for the next row."""

    time: float
    """Of the state."""

    step: int
    """Steps accepted so far."""

    step_size: float
    """The step that is proposed next."""

    last_error: float
    """What the controller remembers."""

    wall_seconds: float
    """Seconds spent so far."""

    theta: np.ndarray
    """(p,), the parameters."""

    steps: StepColumns = field(default_factory=dict)
    """Figures of the steps since the last committed row, by the names of their columns."""

    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What the method's solves remember."""

    def write(
        self, store: Path, rows: int, announce: Callable[[str], None] = lambda seal: None
    ) -> None:
        """Into the store, whose committed `rows` it follows. `announce`: is given the file's seal
        once it is on the disk, before it takes the place of the one before. Errors: `OSError`."""
        arrays: dict[str, Any] = {
            name: np.asarray(getattr(self, name)) for name in (*_SCALARS, "theta")
        }
        arrays["rows"] = np.asarray(rows)
        arrays |= {_STEPS + name: np.asarray(column) for name, column in self.steps.items()}
        arrays |= {_MEMORY + name: array for name, array in self.memory.items()}
        written = io.BytesIO()
        np.savez(written, **arrays)
        part = store / _PART
        try:
            with new_file(part) as file:
                file.write(written.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        announce(_seal(written.getbuffer()))
        part.replace(store / _FILE)

    @classmethod
    def read(cls, store: Path, rows: int, seal: str | None = None) -> Checkpoint | None:
        """The one that follows the last of `rows`; None where there is none.

        `seal`: of the store's attribute, empty where no checkpoint is expected; None in stores of
        earlier versions, which do not say whether there is one. Errors: `InputError` where it is
        damaged or missing.
        """
        if seal == "":
            return None
        path = store / _FILE
        try:
            data = _sealed_file(store, seal) if seal else read_file(path)
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = dict(file)
            if int(arrays["rows"]) != rows and not seal:
                return None
            return cls(
                **{name: arrays[name].item() for name in _SCALARS},
                theta=arrays["theta"],
                steps={name: column.tolist() for name, column in _under(_STEPS, arrays).items()},
                memory=_under(_MEMORY, arrays),
            )
        except FileNotFoundError:
            return None
        except (*UNREADABLE, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"damaged: {path}: {in_one_line(error)}. Restore it from a copy; or go on from the "
                f"last committed row after: hpc-wgf check {store} --forget-checkpoint"
            ) from error

    @staticmethod
    def remove(store: Path) -> None:
        """What has become void."""
        for name in (_FILE, _PART):  # a killed process leaves a part
            with suppress(IsADirectoryError):  # which is none
                (store / name).unlink(missing_ok=True)


def _sealed_file(store: Path, seal: str) -> bytes:
    """The file of that seal; it is still the part where a process was killed between its
    announcement and the rename. Errors: `OSError`, `ValueError`."""
    found = "it is missing, and the run was stopped there"
    for name in (_FILE, _PART):
        with suppress(FileNotFoundError):
            data = read_file(store / name)
            if _seal(data) == seal:
                return data
            found = "it is not the one that was written, the digest differs"
    raise ValueError(found)


def _seal(data: bytes | memoryview) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(data).hexdigest()


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
