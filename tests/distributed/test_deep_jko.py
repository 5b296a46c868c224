"""Deep JKO over real processes: the same bits, also where a process is lost within a step."""

from __future__ import annotations

import numpy as np
from processes import script
from stores import assert_same

from hpc_wgf import open_run

ARRAYS = ("theta", "stage_theta", "particles", "log_density", "velocity", "step_objective")
ASKED = 9  # in the second step


def test_the_same_bits_on_any_number_of_ranks_and_after_a_kill_within_a_step(tmp_path):
    for ranks in (1, 2, 4):
        done = script("deep_jko_steps.py", tmp_path / f"{ranks}", 0.1, ranks=ranks)
        assert done.returncode == 0, done.stderr
    alone = open_run(tmp_path / "1")
    assert len(alone.stages) == 3
    for ranks in (2, 4):
        stored = open_run(tmp_path / f"{ranks}")
        for name in ARRAYS:
            assert np.array_equal(stored.column(name), alone.column(name), equal_nan=True), name
    for how in ("dies", "stops"):
        cut = tmp_path / how
        done = script("deep_jko_steps.py", cut, 0.1, ASKED, how, ranks=2)
        assert (done.returncode == 0) is (how == "stops"), done.stderr
        assert 0 < open_run(cut).rows < 3
        done = script("deep_jko_steps.py", cut, 0.1, ranks=2)
        assert done.returncode == 0, done.stderr
        assert_same(open_run(cut), open_run(tmp_path / "2"))
