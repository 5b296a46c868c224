"""Comparing stored runs."""

from __future__ import annotations

import numpy as np

from hpc_wgf import StoredRun

_TIMES_OF_DAY = {"wall_seconds", "step_seconds"}
_TABLES = {"figures", "step_figures"}  # compared column by column


def assert_same(a: StoredRun, b: StoredRun) -> None:
    """Every array and figure to the bit, but for what the clock has said."""
    assert a.rows == b.rows
    assert a.columns == b.columns
    figures = {column.key for column in a.columns} - _TIMES_OF_DAY
    assert len(figures) > 20
    for name in sorted(set(a.group) - _TABLES | figures):
        assert np.array_equal(a.column(name), b.column(name), equal_nan=True), name
