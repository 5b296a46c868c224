"""Whether a stored run is whole: every committed row readable, and in agreement with the others.

Chunks carry CRC-32C checksums, so that a changed byte is found; a chunk that is missing would read
as not-a-number, which positions, parameters and times never are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .reader import StoredRun
from .schema import INTEGERS, OLDER, SCHEMA

# Of a damaged chunk: the file system, the decompressor, the checksum, a shape that does not fit.
_UNREADABLE = (OSError, RuntimeError, ValueError)
_MAY_BE_MISSING = frozenset(
    {"kl_divergence", "map_error", "map_displacement", "symmetric_kl", "projection_error",
     "projection_error_fresh", "step_projection_error", "step_projection_error_fresh",
     "force_square"}
)  # fmt: skip


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one array. `row`: the one along `time` that cannot be relied on; None
    where the flaw concerns them all."""

    array: str
    row: int | None
    what: str

    def __str__(self) -> str:
        where = "" if self.row is None else f", row {self.row}"
        return f"{self.array}{where}: {self.what}"


def check(stored: StoredRun) -> list[Flaw]:
    """All flaws of a store, none of a sound one; every committed number is read once."""
    absent = OLDER.get(stored.attributes["schema_version"], frozenset())
    rows = {"theta", "particles", "log_density", *SCHEMA.row_scalars} - absent
    steps = {*SCHEMA.step_fields} - absent
    flaws = [*_lengths(stored, rows, stored.rows), *_lengths(stored, steps, stored.steps)]
    if flaws:
        return flaws
    flaws += _scalars(stored, ({*SCHEMA.row_scalars} | steps) - absent)
    flaws += [flaw for name in ("theta", "particles") for flaw in _finite(stored, name)]
    if "folded" not in absent and not any(flaw.array == "folded" for flaw in flaws):
        flaws += _log_densities(stored)
    return flaws


def _lengths(stored: StoredRun, names: set[str], length: int) -> Iterator[Flaw]:
    for name in sorted(names):
        if name not in stored.group:
            yield Flaw(name, None, "the array is missing")
        elif (found := stored.group[name].shape[0]) != length:
            yield Flaw(name, None, f"{found} entries, {length} expected")


def _scalars(stored: StoredRun, names: set[str]) -> Iterator[Flaw]:
    for name in sorted(names):
        try:
            values = stored.column(name)
        except _UNREADABLE as error:
            yield Flaw(name, None, f"cannot be read: {error}")
            continue
        lost = values < 0 if name in INTEGERS else np.isnan(values)
        if name not in _MAY_BE_MISSING and lost.any():
            yield Flaw(name, None, f"{int(lost.sum())} of {len(values)} numbers are missing")
        elif name in ("time", "step_time") and (np.diff(values) <= 0).any():
            yield Flaw(name, None, "times do not increase")
        elif name == "steps_taken" and len(values) and values[-1] != stored.steps:
            yield Flaw(name, None, f"says {values[-1]} steps, {stored.steps} are stored")


def _finite(stored: StoredRun, name: str) -> Iterator[Flaw]:
    for row in range(stored.rows):
        values = _row(stored, name, row)
        if isinstance(values, Flaw):
            yield values
        elif lost := int(np.count_nonzero(~np.isfinite(values))):
            yield Flaw(name, row, f"{lost} of {values.size} numbers are missing or not finite")


def _log_densities(stored: StoredRun) -> Iterator[Flaw]:
    """They are not-a-number where the map has folded, and the row says at how many samples."""
    for row, folded in enumerate(stored.column("folded")):
        values = _row(stored, "log_density", row)
        if isinstance(values, Flaw):
            yield values
        elif (lost := int(np.isnan(values).sum())) != folded:
            yield Flaw("log_density", row, f"{lost} are missing, {folded} samples have folded")


def _row(stored: StoredRun, name: str, row: int) -> np.ndarray | Flaw:
    try:
        return np.asarray(stored.group[name][row])
    except _UNREADABLE as error:
        return Flaw(name, row, f"cannot be read: {error}")
