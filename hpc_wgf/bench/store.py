"""Seconds to commit a row of a run to its store, against a plain save of the same arrays."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from ..columns import along
from ..diagnostics import Judge
from ..ensemble import default_pieces
from ..methods.pwgf import PWGF
from ..parallel import LocalCommunicator, SampleBlocks
from ..profiling.timing import interleaved
from ..run.loop import COLUMNS
from ..store import RunWriter, Stage, StoreShape, blocks_per_shard, default_shards
from .record import Row

_COLUMNS = (*COLUMNS, *Judge.columns, *PWGF.columns)


class _Store:
    """An open store of n samples in d dimensions, and a row of random numbers for it."""

    def __init__(self, folder: Path, samples: int, dimension: int, parameters: int) -> None:
        self.folder = folder
        random = np.random.default_rng(0)
        self.row = {
            "theta": random.standard_normal(parameters),
            "velocity": random.standard_normal(parameters),
            "particles": random.standard_normal((samples, dimension)),
            "log_density": random.standard_normal(samples),
        }
        self.writer = RunWriter.create(
            folder / "store", LocalCommunicator(), slice(0, samples),
            shape=_shape(samples, dimension, parameters), attributes={},
            stage=Stage("random numbers", 0.0, self.row["theta"]),
        )  # fmt: skip
        self._rows = 0

    def commit(self) -> None:
        """Append the row, and a step before it."""
        figures = {column.name: 0.0 for column in along("time", _COLUMNS)}
        steps = {column.name: [float(self._rows)] for column in along("step", _COLUMNS)}
        particles, log_density = (
            torch.from_numpy(self.row[name]) for name in ("particles", "log_density")
        )
        self.writer.commit(
            float(self._rows), figures, steps, theta=self.row["theta"],
            velocity=self.row["velocity"], particles=particles, log_density=log_density,
        )  # fmt: skip
        self.writer.finish()
        self._rows += 1

    def save(self) -> None:
        """The same arrays by numpy, a file each."""
        for name, values in self.row.items():
            np.save(self.folder / f"{name}.npy", values)

    def files_of_a_row(self) -> int:
        """Files that one more row adds to the store."""
        before = self._files()
        self.commit()
        return self._files() - before

    def _files(self) -> int:
        return sum(path.is_file() for path in (self.folder / "store").rglob("*"))


def _shape(samples: int, dimension: int, parameters: int) -> StoreShape:
    blocks = SampleBlocks.automatic(samples)
    shards = default_shards(8 * samples * dimension)
    return StoreShape(
        parameters=parameters, dimension=dimension, samples=samples, block=blocks.size,
        blocks_per_shard=blocks_per_shard(blocks, default_pieces(samples, ranks=1), shards),
        dtype="float64",
        columns=_COLUMNS,
    )  # fmt: skip


def rows(
    samples: list[int], dimension: int, parameters: int, rounds: int, folder: Path | None
) -> list[Row]:
    """One row for each number of samples n, of a store with (n, d) particles and p parameters.

    `folder`: where a temporary store is made; None for the system's temporary folder.
    """
    return [_row(n, dimension, parameters, rounds, folder) for n in samples]


def _row(n: int, dimension: int, parameters: int, rounds: int, folder: Path | None) -> Row:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = _Store(Path(place), n, dimension, parameters)
        calls = {"commit": store.commit, "save": store.save}
        times = interleaved(calls, rounds, torch.device("cpu"))
        files = store.files_of_a_row()
        store.writer.close()
    megabytes = sum(values.nbytes for values in store.row.values()) / 1e6
    ours, plain = times["commit"].median, times["save"].median
    return {
        "samples": n,
        "dimension": dimension,
        "megabytes": megabytes,
        "seconds": ours,
        "seconds_numpy": plain,
        "files": files,
        "megabytes_per_second": megabytes / ours,
        "megabytes_per_second_numpy": megabytes / plain,
        "ratio": ours / plain,
    }
