"""Whether a stored run is whole: every committed row readable, and in agreement with the others.

Opening it has compared digests and lengths. Chunks carry CRC-32C checksums, so that a changed byte
is found; a chunk that is missing would read as not-a-number, which positions, parameters and times
never are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .attributes import NEEDED
from .damage import UNREADABLE, in_one_line
from .documents import differing_documents
from .older import OLDER
from .reader import StoredRun
from .schema import BEGINS_AT_REST, FIGURES, PARTICLE_TIME, STEP_FIGURES
from .soundness import flaw_of_figure, flaw_of_numbers, flaw_of_times
from .stages import STAGES

_READ_WHOLE = 1 << 27  # bytes up to which a store is read whole before it is used


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a store."""

    array: str
    """The array or figure that is concerned, or `attributes`, or `stages`, or `checkpoint`."""

    row: int | None
    """The row that cannot be relied on; None where the flaw concerns them all."""

    what: str
    """What was found, and where it matters what was expected."""

    def __str__(self) -> str:
        where = "" if self.row is None else f", row {self.row}"
        return f"{self.array}{where}: {self.what}"


def check(stored: StoredRun) -> list[Flaw]:
    """All flaws of a store, none of a sound one; every committed number is read once."""
    flaws = [*_attributes(stored), *_documents(stored), *_checkpoint(stored)]
    # Nothing else can be told where the stages or the columns are wrong.
    for whole_store in (_stages, _columns):
        if found := list(whole_store(stored)):
            return flaws + found
    flaws += [*_times(stored), *_coordinates(stored), *(_tables(stored) or _figures(stored))]
    spoilt = {flaw.array for flaw in flaws}
    if not spoilt & {FIGURES, "stage"}:
        flaws += [*_rows_of_stages(stored), *_parameters(stored)]
    flaws += [*_particles(stored), *_log_weights(stored)]
    flaws += [*_error_states(stored), *_method_states(stored)]
    if not spoilt & {FIGURES, "folded", "time", PARTICLE_TIME}:
        flaws += _log_densities(stored)
    return flaws


def refuse_damaged(stored: StoredRun) -> None:
    """Errors: `InputError` for a store with flaws, of at most 128 MiB. A larger one takes too long
    to read whole; what is used of it is checked as it is read."""
    if sum(array.nbytes for _, array in stored.group.arrays()) > _READ_WHOLE:
        return
    first, *further = [*check(stored), None]
    if first is not None:
        more = f" (and {len(further) - 1} more)" if len(further) > 1 else ""
        raise stored.damaged(f"{first}{more}")


def _attributes(stored: StoredRun) -> Iterator[Flaw]:
    for name in NEEDED:
        if name not in stored.attributes:
            yield Flaw("attributes", None, f"{name} is missing")


def _documents(stored: StoredRun) -> Iterator[Flaw]:
    """The documents of the arrays themselves, which only a writer looks at, are those that the
    group holds; a killed process may have left longer arrays."""
    for name, what in differing_documents(stored.path, stored.documents).items():
        yield Flaw(name, None, what)


def _checkpoint(stored: StoredRun) -> Iterator[Flaw]:
    try:
        stored.checkpoint()
    except InputError as error:
        yield Flaw("checkpoint", None, str(error))


def _columns(stored: StoredRun) -> Iterator[Flaw]:
    """Figures are named, and there are as many as names."""
    try:
        named = stored.columns
    except InputError as error:
        yield Flaw(FIGURES, None, str(error))
        return
    for axis, name in () if stored.schema in OLDER else (("time", FIGURES), ("step", STEP_FIGURES)):
        names = sum(column.along == axis for column in named)
        if (found := stored.group[name].shape[1]) != names:
            yield Flaw(name, None, f"{found} columns, {names} of them named")


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


def _times(stored: StoredRun) -> Iterator[Flaw]:
    """They increase, and particles are stored at some of them."""
    names = ("time", *((PARTICLE_TIME,) if PARTICLE_TIME in stored.group else ()))
    for name in names:
        values = _read(stored, name)
        if isinstance(values, Flaw):
            yield values
        elif what := flaw_of_times(values):
            yield Flaw(name, None, what)
        elif name == PARTICLE_TIME and not set(values) <= set(stored.values("time")):
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
        if what := flaw_of_figure(column, values):
            yield Flaw(column.key, None, what)
        elif column.key == "steps_taken" and len(values) and values[-1] != stored.steps:
            what = f"says {int(values[-1])} steps, {stored.steps} are stored"
            yield Flaw(column.key, None, what)


def _rows_of_stages(stored: StoredRun) -> Iterator[Flaw]:
    """Rows belong to stages that are there, which begin where their attribute says."""
    if stored.schema in OLDER or not stored.rows:
        return
    numbers, stages = stored.values("stage"), stored.described_stages
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
    """θ is given at every row, η at all of them (but for the first,
    where a run begins at rest) or, where the method has none, at no row."""
    old = stored.schema in OLDER
    stages = () if old else stored.described_stages
    numbers = np.zeros(stored.rows, int) if old else stored.values("stage")
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
    first = int(stored.attributes.get(BEGINS_AT_REST, False))
    for row, count in list(enumerate(counts))[first:]:
        values = _row(stored, "velocity", row)
        has_none = has_none and not isinstance(values, Flaw) and bool(np.isnan(values).all())
        flaws += _not_finite("velocity", row, values, count)
    return [] if has_none else flaws


def _particles(stored: StoredRun) -> Iterator[Flaw]:
    for row in range(stored.group["particles"].shape[0]):
        yield from _not_finite("particles", row, _row(stored, "particles", row))


def _log_weights(stored: StoredRun) -> Iterator[Flaw]:
    if "log_weight" in stored.group and stored.rows:
        values = _read(stored, "log_weight")
        if isinstance(values, Flaw):
            yield values
        elif what := flaw_of_numbers(values):
            yield Flaw("log_weight", None, what)


def _error_states(stored: StoredRun) -> Iterator[Flaw]:
    """Single numbers may be missing, where the map has folded within a step."""
    if "error_state" not in stored.group:
        return
    for row in range(stored.rows):
        values = _row(stored, "error_state", row)
        if isinstance(values, Flaw):
            yield values
        elif np.isnan(values).all():
            yield Flaw("error_state", row, "it is missing")


def _method_states(stored: StoredRun) -> Iterator[Flaw]:
    if "method_state" in stored.group:
        for row in range(stored.rows):
            yield from _not_finite("method_state", row, _row(stored, "method_state", row))


def _log_densities(stored: StoredRun) -> Iterator[Flaw]:
    """They are not-a-number where the map has folded, and the row says at how many samples; all
    are where the start density is not known."""
    if not stored.attributes.get("density_known", True):
        return
    known = "folded" in {column.key for column in stored.columns}
    rows = np.searchsorted(stored.values("time"), stored.particle_times)
    for entry, folded in enumerate(stored.values("folded")[rows]):
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
    elif what := flaw_of_numbers(values[:count]):
        yield Flaw(name, row, what)


def _read(stored: StoredRun, key: str) -> np.ndarray | Flaw:
    try:
        return stored.values(key)
    except UNREADABLE as error:
        return Flaw(key, None, f"cannot be read: {in_one_line(error)}")


def _row(stored: StoredRun, name: str, row: int) -> np.ndarray | Flaw:
    try:
        return np.asarray(stored.group[name][row])
    except UNREADABLE as error:
        return Flaw(name, row, f"cannot be read: {in_one_line(error)}")
