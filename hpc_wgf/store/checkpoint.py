"""A state between two rows, left by a run that was asked to stop, from which it goes on bit for
bit. It lies in the store's folder beside the arrays, as one file that replaces the one before in
an atomic rename, and is void once the next row has been committed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

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

    def write(self, store: Path, rows: int) -> None:
        """Into the store, whose committed `rows` it follows. Errors: `OSError`."""
        arrays: dict[str, Any] = {
            name: np.asarray(getattr(self, name)) for name in (*_SCALARS, "theta")
        }
        arrays["rows"] = np.asarray(rows)
        arrays |= {_STEPS + name: np.asarray(column) for name, column in self.steps.items()}
        arrays |= {_MEMORY + name: array for name, array in self.memory.items()}
        part = store / _PART
        try:
            with part.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(store / _FILE)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def read(cls, store: Path, rows: int) -> Checkpoint | None:
        """The one that follows the last of `rows`; None where there is none.

        Errors: `InputError` where it is damaged.
        """
        path = store / _FILE
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            if int(arrays["rows"]) != rows:
                return None
            found = {name: arrays[name].item() for name in _SCALARS}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} cannot be read: {error}. Delete it to go on from the last committed row"
            ) from error
        return cls(
            **found,
            theta=arrays["theta"],
            steps={name: column.tolist() for name, column in _under(_STEPS, arrays).items()},
            memory=_under(_MEMORY, arrays),
        )

    @staticmethod
    def remove(store: Path) -> None:
        """What has become void."""
        for name in (_FILE, _PART):  # a killed process leaves a part
            (store / name).unlink(missing_ok=True)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
