"""Stored times where time passes 0."""

from __future__ import annotations

import numpy as np
import pytest
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.run.schedule import Schedule


@pytest.mark.parametrize(
    ("start", "every", "rows"),
    [(-0.3, 0.1, 3), (-0.7, 0.1, 7), (-1.1, 0.011, 100), (-1e3, 0.1, 10_000)],
)
def test_zero_is_a_stored_time(start, every, rows):
    """3 · 0.1 − 0.3 is 5.55e-17: rounded to twelve digits of its own, it stayed that."""
    schedule, time = Schedule(start, 2.0, every), start
    for _ in range(rows):
        time = schedule.next_after(time)
    assert time == 0.0
    assert not np.signbit(time)
    assert schedule.next_after(time) == every


def test_a_run_to_zero_goes_on_as_the_one_that_passed_it(tmp_path):
    problem, map, options = wgf.load_problem(
        "ou-2d", "problem.start_time=-0.3", "problem.until=0.3", "method.samples=200",
        "method.step=0.1",
    )  # fmt: skip
    whole, parts = (wgf.Output(tmp_path / name, every=0.1) for name in ("whole", "parts"))
    wgf.solve(problem, map, options, whole)
    wgf.solve(problem.replace(until=0.0), map, options, parts)
    wgf.solve(problem, map, options, parts, resume=True)
    assert wgf.open_run(tmp_path / "whole").column("time")[3] == 0.0
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(tmp_path / "parts"))
