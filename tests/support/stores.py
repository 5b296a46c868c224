"""Comparing stored runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hpc_wgf.columns import Column
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.store import RunWriter, Stage, StoredRun, StoreShape

COLUMNS = (
    Column("steps_taken", "time", "steps before the row", "1", integer=True),
    Column("stage", "time", "number of the stage", "1", integer=True),
    Column("energy", "time", "F", "F"),
    Column("map_error", "time", "error of the map", "x", optional=True),
    Column("folded", "time", "samples that have folded", "1", integer=True),
    Column("time", "step", "where the step begins", "t"),
    Column("energy", "step", "F where the step begins", "F"),
)
SHAPE = StoreShape(
    parameters=5, dimension=2, samples=100, block=10, blocks_per_shard=3, dtype="float64",
    columns=COLUMNS,
)  # fmt: skip
"""Of a small store, in shards of 30 samples, the last one shorter."""
ATTRIBUTES = {
    "problem": "small", "dimension": 2, "until": 1.0, "ranks": 1, "samples": 100, "parameters": 5,
    "versions": {}, "layout": {}, "objects": {}, "configuration": None,
}  # fmt: skip
"""Of its run."""
SPAN = slice(0, 100)
"""Its samples, all on one rank."""

_TIMES_OF_DAY = {
    "wall_seconds", "step_seconds", "step_seconds_drawing", "step_seconds_bound"
}  # fmt: skip
_TABLES = {"figures", "step_figures"}  # compared column by column


def assert_same(a: StoredRun, b: StoredRun) -> None:
    """Every array and figure to the bit, but for what the clock has said."""
    assert a.rows == b.rows
    assert a.columns == b.columns
    figures = {column.key for column in a.columns} - _TIMES_OF_DAY
    assert len(figures) > 10
    for name in sorted(set(a.group) - _TABLES | figures):
        assert np.array_equal(a.column(name), b.column(name), equal_nan=True), name


def small_store(path: Path, shape: StoreShape = SHAPE) -> RunWriter:
    """A store of `shape` without a row."""
    return RunWriter.create(
        path, LocalCommunicator(), SPAN, shape=shape, attributes=ATTRIBUTES,
        stage=Stage("the first map", 0.0, np.arange(5.0)),
    )  # fmt: skip


def commit(
    store: RunWriter, value: float, steps: int, *,
    parameters: int = 5, number: int = 0, stage: Stage | None = None, taken: int = 0,
) -> None:  # fmt: skip
    """A row in which every figure is `value`, and `steps` steps before it."""
    figures = {"energy": value, "folded": 0, "stage": number, "steps_taken": taken + steps}
    times = [value + k / (steps + 1) for k in range(steps)]
    store.commit(
        value,
        figures,
        {"time": times, "energy": [value] * steps},
        theta=np.full(parameters, value),
        velocity=np.full(parameters, -value),
        particles=torch.full((100, 2), value, dtype=torch.float64),
        log_density=torch.full((100,), value, dtype=torch.float64),
        stage=stage,
    )
    store.finish()
