"""Committing a row of a run to its store, against a plain save of the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from ..parallel import LocalCommunicator, SampleBlocks
from ..profiling.timing import interleaved
from ..store import SCHEMA, RunWriter, StoreShape
from .record import Row

_SHARDS = 16


class _Store:
    """An open store of n samples in d dimensions, and a row of random numbers for it."""

    def __init__(self, folder: Path, samples: int, dimension: int, parameters: int) -> None:
        self.folder, blocks = folder, SampleBlocks.automatic(samples)
        random = np.random.default_rng(0)
        self.row = {
            "theta": random.standard_normal(parameters),
            "particles": random.standard_normal((samples, dimension)),
            "log_density": random.standard_normal(samples),
        }
        shape = StoreShape(
            parameters=parameters, dimension=dimension, samples=samples, block=blocks.size,
            blocks_per_shard=blocks.blocks_per_shard(_SHARDS), dtype="float64",
        )  # fmt: skip
        self.writer = RunWriter.create(
            folder / "store", LocalCommunicator(), slice(0, samples), shape=shape, attributes={}
        )

    def commit(self) -> None:
        """Append the row."""
        scalars = dict.fromkeys(SCHEMA.row_scalars, 0.0)
        self.writer.commit(scalars, {name: [0.0] for name in SCHEMA.step_fields}, **self.row)

    def save(self) -> None:
        """The same arrays by numpy, a file each."""
        for name, values in self.row.items():
            np.save(self.folder / f"{name}.npy", values)


def rows(
    samples: list[int], dimension: int, parameters: int, rounds: int, folder: Path | None
) -> list[Row]:
    """One row a number of samples; `folder`: where the store is made for the while."""
    return [_row(n, dimension, parameters, rounds, folder) for n in samples]


def _row(n: int, dimension: int, parameters: int, rounds: int, folder: Path | None) -> Row:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = _Store(Path(place), n, dimension, parameters)
        calls = {"commit": store.commit, "save": store.save}
        times = interleaved(calls, rounds, torch.device("cpu"))
        store.writer.close()
    megabytes = sum(values.nbytes for values in store.row.values()) / 1e6
    ours, plain = times["commit"].median, times["save"].median
    return {
        "samples": n,
        "dimension": dimension,
        "megabytes": megabytes,
        "seconds": ours,
        "seconds_numpy": plain,
        "megabytes_per_second": megabytes / ours,
        "megabytes_per_second_numpy": megabytes / plain,
        "ratio": ours / plain,
    }
