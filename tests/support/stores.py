"""Comparing stored runs."""

from __future__ import annotations

import numpy as np

from hpc_wgf import StoredRun

_TIMES_OF_DAY = {"wall_seconds", "step_seconds"}


def assert_same(a: StoredRun, b: StoredRun) -> None:
    """Every array to the bit, but for what the clock has said."""
    assert a.rows == b.rows
    for name in sorted(set(a.group) - _TIMES_OF_DAY):
        assert np.array_equal(a.column(name), b.column(name), equal_nan=True), name
