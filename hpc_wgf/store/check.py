"""Whether a stored run is whole: every committed row readable, and in agreement with the others.

Chunks carry CRC-32C checksums, so that a changed byte is found; a chunk that is missing would read
as not-a-number, which positions, parameters and times never are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .older import OLDER
from .reader import StoredRun
from .schema import ARRAYS, FIGURES, PARTICLE_TIME, STAGE, STEP, STEP_FIGURES, TIME
from .stages import STAGES

# Of a damaged chunk: the file system, the decompressor, the checksum, a shape that does not fit.
_UNREADABLE = (OSError, RuntimeError, ValueError)
_IN_ALL_SCHEMAS = ("time", "theta", "particles", "log_density")


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a store."""

    array: str
    """The array or figure that is concerned, or `attributes`, or `stages`."""

    row: int | None
    """The row that cannot be relied on; None where the flaw concerns them all."""

    what: str
    """What was found, and where it matters what was expected."""

    def __str__(self) -> str:
        where = "" if self.row is None else f", row {self.row}"
        return f"{self.array}{where}: {self.what}"


def check(stored: StoredRun) -> list[Flaw]:
    """All flaws of a store, none of a sound one; every committed number is read once."""
    # Nothing else can be told where the attributes or the shapes are wrong.
    for whole_store in (_attributes, _stages, _lengths):
        if flaws := list(whole_store(stored)):
            return flaws
    flaws = [*_times(stored), *_coordinates(stored), *(_tables(stored) or _figures(stored))]
    spoilt = {flaw.array for flaw in flaws}
    if not spoilt & {FIGURES, "stage"}:
        flaws += [*_rows_of_stages(stored), *_parameters(stored)]
    flaws += _particles(stored)
    if not spoilt & {FIGURES, "folded", "time", PARTICLE_TIME}:
        flaws += _log_densities(stored)
    return flaws


def _attributes(stored: StoredRun) -> Iterator[Flaw]:
    if stored.schema not in OLDER and not stored.sealed:
        yield Flaw("attributes", None, "they are not those that were written: the digest differs")


def _stages(stored: StoredRun) -> Iterator[Flaw]:
    """Every stage that is described has its initial parameters, and the other way round."""
    if stored.schema in OLDER or "stage_theta" not in stored.group:
        return
    try:
        described = len(stored.described_stages)
    except InputError:
        yield Flaw(STAGES, None, "they cannot be read")
        return
    found = stored.group["stage_theta"].shape[0]
    if described != found:
        yield Flaw(STAGES, None, f"{described} are described, parameters of {found} are stored")


def _lengths(stored: StoredRun) -> Iterator[Flaw]:
    """Arrays of the same dimension have the same length in it."""
    names = _IN_ALL_SCHEMAS if stored.schema in OLDER else ARRAYS
    missing = [name for name in names if name not in stored.group]
    for name in missing:
        yield Flaw(name, None, "the array is missing")
    if missing:
        return
    lengths = {TIME: stored.rows, STEP: stored.steps}
    for name, array in sorted(stored.group.arrays()):
        for axis, found in zip(array.metadata.dimension_names or (), array.shape, strict=False):
            expected = lengths.setdefault(axis, found)
            if found != expected and axis != STAGE:
                yield Flaw(name, None, f"{found} entries, {expected} expected")


def _times(stored: StoredRun) -> Iterator[Flaw]:
    """They increase, and particles are stored at some of them."""
    names = ("time", *((PARTICLE_TIME,) if PARTICLE_TIME in stored.group else ()))
    for name in names:
        values = _read(stored, name)
        if isinstance(values, Flaw):
            yield values
        elif lost := int(np.isnan(values).sum()):
            yield Flaw(name, None, f"{lost} of {len(values)} numbers are missing")
        elif (np.diff(values) <= 0).any():
            yield Flaw(name, None, "times do not increase")
        elif name == PARTICLE_TIME and not set(values) <= set(stored.column("time")):
            yield Flaw(name, None, "not all of them are times of rows")


def _coordinates(stored: StoredRun) -> Iterator[Flaw]:
    """They count from 0; older stores have none."""
    for name in ("sample", "axis"):
        if name in stored.group:
            values = _read(stored, name)
            if isinstance(values, Flaw):
                yield values
            elif not np.array_equal(values, np.arange(len(values))):
                yield Flaw(name, None, "its numbers do not count from 0")


def _tables(stored: StoredRun) -> list[Flaw]:
    """What is wrong with whole rows of figures."""
    flaws = []
    for name in () if stored.schema in OLDER else (FIGURES, STEP_FIGURES):
        values = _read(stored, name)
        if isinstance(values, Flaw):
            flaws.append(values)
        elif values.shape[1] and (lost := int(np.isnan(values).all(axis=1).sum())):
            flaws.append(Flaw(name, None, f"{lost} of {len(values)} rows are missing"))
    return flaws


def _figures(stored: StoredRun) -> Iterator[Flaw]:
    for column in stored.columns:
        values = _read(stored, column.key)
        if isinstance(values, Flaw):
            yield values
            continue
        lost = values < 0 if values.dtype.kind == "i" else np.isnan(values)
        if lost.any() and not column.optional:
            yield Flaw(column.key, None, f"{int(lost.sum())} of {len(values)} numbers are missing")
        elif column.key == "step_time" and (np.diff(values) <= 0).any():
            yield Flaw(column.key, None, "times do not increase")
        elif column.key == "steps_taken" and len(values) and values[-1] != stored.steps:
            what = f"says {int(values[-1])} steps, {stored.steps} are stored"
            yield Flaw(column.key, None, what)


def _rows_of_stages(stored: StoredRun) -> Iterator[Flaw]:
    """Rows belong to stages that are there, which begin where their attribute says."""
    if stored.schema in OLDER or not stored.rows:
        return
    numbers, stages = stored.column("stage"), stored.described_stages
    if (np.diff(numbers) < 0).any():
        yield Flaw("stage", None, "it goes back")
        return
    beyond = np.flatnonzero(numbers >= len(stages))
    if beyond.size:
        what = f"it is of stage {numbers[beyond[0]]}, {len(stages)} are stored"
        yield Flaw(STAGES, int(beyond[0]), what)
        return
    for number, stage in enumerate(stages):
        # A later stage begins with the last row of the stage before, which is not of it yet.
        expected = int(np.count_nonzero(numbers < number)) - (number > 0)
        if stage.row != expected:
            yield Flaw(STAGES, None, f"stage {number} begins at row {expected}, not {stage.row}")
        initial = _row(stored, "stage_theta", number)
        yield from _not_finite("stage_theta", number, initial, stage.parameters)


def _parameters(stored: StoredRun) -> Iterator[Flaw]:
    """θ is given at every row, η at all of them or, where the method has none, at no row."""
    old = stored.schema in OLDER
    stages = () if old else stored.described_stages
    numbers = np.zeros(stored.rows, int) if old else stored.column("stage")
    if stages and (numbers >= len(stages)).any():
        return
    counts = [stages[number].parameters if stages else None for number in numbers]
    for row, count in enumerate(counts):
        yield from _not_finite("theta", row, _row(stored, "theta", row), count)
    if not old:
        yield from _velocities(stored, counts)


def _velocities(stored: StoredRun, counts: list[int | None]) -> list[Flaw]:
    has_none = True
    flaws: list[Flaw] = []
    for row, count in enumerate(counts):
        values = _row(stored, "velocity", row)
        has_none = has_none and not isinstance(values, Flaw) and bool(np.isnan(values).all())
        flaws += _not_finite("velocity", row, values, count)
    return [] if has_none else flaws


def _particles(stored: StoredRun) -> Iterator[Flaw]:
    for row in range(stored.group["particles"].shape[0]):
        yield from _not_finite("particles", row, _row(stored, "particles", row))


def _log_densities(stored: StoredRun) -> Iterator[Flaw]:
    """They are not-a-number where the map has folded, and the row says at how many samples."""
    known = "folded" in {column.key for column in stored.columns}
    rows = np.searchsorted(stored.column("time"), stored.particle_times)
    for entry, folded in enumerate(stored.column("folded")[rows]):
        values = _row(stored, "log_density", entry)
        if isinstance(values, Flaw):
            yield values
        elif known and (lost := int(np.isnan(values).sum())) != folded:
            what = f"{lost} are missing, {int(folded)} samples have folded"
            yield Flaw("log_density", entry, what)


def _not_finite(
    name: str, row: int, values: np.ndarray | Flaw, count: int | None = None
) -> Iterator[Flaw]:
    """What is wrong with one row, of which the first `count` numbers are meant."""
    if isinstance(values, Flaw):
        yield values
    elif lost := int(np.count_nonzero(~np.isfinite(values[:count]))):
        what = f"{lost} of {values[:count].size} numbers are missing or not finite"
        yield Flaw(name, row, what)


def _read(stored: StoredRun, key: str) -> np.ndarray | Flaw:
    try:
        return stored.column(key)
    except _UNREADABLE as error:
        return Flaw(key, None, f"cannot be read: {error}")


def _row(stored: StoredRun, name: str, row: int) -> np.ndarray | Flaw:
    try:
        return np.asarray(stored.group[name][row])
    except _UNREADABLE as error:
        return Flaw(name, row, f"cannot be read: {error}")
