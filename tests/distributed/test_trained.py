"""Training over real processes: torch on any ranks, and DeepSpeed against it."""

from __future__ import annotations

import numpy as np
import pytest
from processes import script

from hpc_wgf import open_run


def parameters(folder, ranks, engine="torch", stage=1, accumulation=1, broken=0):
    """After sixty iterations of a game of two networks; broken off after some, if wanted."""
    out = folder / f"{engine}-{ranks}-{stage}-{accumulation}-{broken}.npy"
    # DeepSpeed looks for what a launcher says.
    started = {"launcher": "torchrun"} if engine == "deepspeed" else {}
    done = script(
        "trained_on_ranks.py", out, engine, stage, accumulation, broken, ranks=ranks, **started
    )
    assert done.returncode == 0, done.stderr
    return np.load(out)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    return parameters(tmp_path_factory.mktemp("torch"), 2)


def test_torch_trains_the_same_on_any_number_of_ranks(on_two, tmp_path):
    for ranks in (1, 4):
        assert np.array_equal(parameters(tmp_path, ranks), on_two)


@pytest.mark.parametrize(("stage", "accumulation"), [(1, 2), (2, 1)])
def test_deepspeed_trains_as_torch_does(on_two, tmp_path, stage, accumulation):
    found = parameters(tmp_path, 2, "deepspeed", stage, accumulation)
    assert np.abs(found - on_two).max() <= 1e-6
    if stage == 1:
        broken = parameters(tmp_path, 2, "deepspeed", stage, accumulation, 25)
        assert np.array_equal(broken, found)


def test_primal_dual_steps_on_any_ranks_and_stopped_inside_one(tmp_path):
    """On four ranks one of them is asked to stop, within the second step."""
    runs = {}
    for ranks, number in ((1, 0), (4, 7)):
        path = tmp_path / f"{ranks}"
        for stop in [number, 0] if number else [0]:
            done = script("primal_dual_run.py", path, stop, ranks=ranks)
            assert done.returncode == 0, done.stderr
            if stop:
                stopped = open_run(path)
                assert stopped.rows == 2
                assert stopped.checkpoint().memory["inner/iteration"] == number - 4
        runs[ranks] = open_run(path)
    for name in ("theta", "particles", "step_gap", "step_gap_error"):
        assert np.array_equal(runs[4].column(name), runs[1].column(name)), name
    assert np.array_equal(runs[4].method_state(3), runs[1].method_state(3))
