"""New samples of a run in a file, drawn by all ranks: .npz, .zarr, .nc or .parquet.

Every rank writes its samples, chunk by chunk, to a file of its own beside the one that is wanted;
rank 0 then puts them together. Nowhere are all samples held in memory.
"""

from __future__ import annotations

import math
import os
import shutil
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..analysis import Samples, Trajectory
from ..cloud import Cloud
from ..errors import InputError, RunError
from ..parallel import Communicator, agreed
from ..problems import is_known
from .sample_formats import FORMATS, SampleTable

_NEEDED = {".parquet": ("pyarrow", "parquet")}  # module and extra of this package


@dataclass(frozen=True)
class Drawn:
    """What has been written."""

    samples: int
    """n."""
    time: float
    """t."""
    seed: int
    """Of the samples."""
    mean_log_density: float
    """E log ρ(x), without those at which the map has folded."""
    standard_error: float
    """Its standard error."""
    folded: int
    """At how many of the samples the map has folded: log ρ and score are not a number there."""
    interpolation_error: float
    """What may be wrong between rows, see `MapAt.interpolation_error`; 0 at a stored time."""
    seconds: float
    """Of drawing and writing."""


def write_samples(
    run: Trajectory, time: float, count: int, seed: int, path: Path, communicator: Communicator
) -> Drawn | None:
    """Write `count` samples of ρ(t) to a new file at `path`: the same on 1, 2, 4, … ranks.

    Arrays `x`, `score`, `z` (sample, axis), `log_density`, `log_weight` (sample), `time`, `seed`;
    columns x_1, … in a table. Returns what has been written, on rank 0 alone. Collective.
    Errors: `InputError` before any work, `RunError` where a file cannot be written.
    """
    begun, d = clock.perf_counter(), run.spec.problem.dimension
    with agreed(communicator):
        map = run.at(time).map
        if communicator.rank == 0:
            check_new(path)
    part = path.with_name(f"{path.name}.part-{communicator.rank}")
    try:
        with agreed(communicator):
            rows = _write_part(run.drawn(count, map, communicator, seed=seed), part)
        lengths = communicator.gather(rows)
        with agreed(communicator):
            if communicator.rank:
                return None
            own = [path.with_name(f"{path.name}.part-{k}") for k in range(communicator.size)]
            dtype = np.dtype(str(run.spec.method.torch_dtype).removeprefix("torch."))
            table = _Parts(own, lengths, d, dtype, time, seed)
            _put_together(table, path)
            mean, error = table.mean, table.standard_error
            between, seconds = run.map_at(time).interpolation_error, clock.perf_counter() - begun
            # Without a density of the start, log ρ is not a number anywhere.
            folded = table.folded if is_known(run.spec.problem.start) else 0
            return Drawn(count, time, seed, mean, error, folded, between, seconds)
    finally:
        part.unlink(missing_ok=True)


def check_new(path: Path) -> None:
    """Errors: `InputError` where no file of samples can be made at `path`."""
    if path.suffix not in FORMATS:
        raise InputError(
            f"cannot write samples to {path}: give a file that ends in {', '.join(FORMATS)}"
        )
    module, extra = _NEEDED.get(path.suffix, (None, None))
    if module is not None and find_spec(module) is None:
        raise InputError(
            f"{path} needs {module}, which is not installed here: pip install 'hpc-wgf[{extra}]'"
        )
    if os.path.lexists(path):
        raise InputError(f"{path} exists already, and is not overwritten: give another file")
    if not path.parent.is_dir():
        raise InputError(f"cannot write samples to {path}: there is no folder {path.parent}")


def _write_part(drawn: Iterator[tuple[Cloud, Cloud]], part: Path) -> int:
    """Write this rank's samples, a row each; how many there are."""
    rows = 0
    try:
        with open(part, "wb") as file:
            for pair in drawn:
                some = Samples.of([pair], 0.0, 0)
                columns = (
                    some.x, some.score, some.z, some.log_density[:, None], some.log_weight[:, None]
                )  # fmt: skip
                file.write(np.ascontiguousarray(np.concatenate(columns, 1)).data)
                rows += len(some.x)
            file.flush()
            os.fsync(file.fileno())  # another machine is to read it
    except OSError as error:
        raise RunError(f"cannot write samples to {part}: {error.strerror}") from error
    return rows


def _put_together(table: SampleTable, path: Path) -> None:
    """All or nothing: the file has its name once it is whole."""
    part = path.with_name(f"{path.name}.part")
    try:
        FORMATS[path.suffix](table, part)
        part.rename(path)
    except (OSError, ValueError, OverflowError) as error:
        raise RunError(f"cannot write samples to {path}: {error}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


class _Parts(SampleTable):
    """The samples in the files of all ranks, in the order of their numbers."""

    def __init__(
        self, files: Sequence[Path], lengths: Sequence[int], dimension: int, dtype: np.dtype,
        time: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__(sum(lengths), dimension, dtype, time, seed)
        width = 3 * dimension + 2
        self._files = [
            np.memmap(file, dtype, "r", shape=(length, width))
            for file, length in zip(files, lengths, strict=True)
            if length
        ]
        logs = [rows[:, 3 * dimension].astype(float) for rows in self._files]
        known = np.concatenate(logs)
        known = known[np.isfinite(known)]
        self.folded = self.count - len(known)
        self.mean = float(known.mean()) if len(known) else math.nan
        self.standard_error = float(known.std() / len(known) ** 0.5) if len(known) else math.nan

    def slices(self) -> Iterator[tuple[slice, np.ndarray]]:
        end = 0
        for rows in self._files:
            for first in range(0, len(rows), self.rows_at_once):
                some = np.asarray(rows[first : first + self.rows_at_once])
                yield slice(end, end := end + len(some)), some
