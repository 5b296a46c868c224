"""A run whose map is frozen twice, over real processes: the same bits, also after a kill."""

from __future__ import annotations

import numpy as np
import pytest
from processes import script
from stores import assert_same

from hpc_wgf import open_run

ARRAYS = ("theta", "velocity", "particles", "time", "force_square_median", "stage_theta")


@pytest.mark.parametrize(
    "how", [(), ("rule",), ("implicit",)],
    ids=["at times", "by rule, Sobol points", "gates, implicit steps, samples for every stage"],
)  # fmt: skip
def test_the_same_bits_on_any_number_of_ranks_and_after_a_kill(tmp_path, how):
    for ranks in (1, 2, 4):
        done = script("staged.py", tmp_path / f"{ranks}", 0.2, 0, *how, ranks=ranks)
        assert done.returncode == 0, done.stderr
    alone = open_run(tmp_path / "1")
    for ranks in (2, 4):
        stored = open_run(tmp_path / f"{ranks}")
        assert len(stored.stages) >= 3
        for name in ARRAYS:
            assert np.array_equal(stored.column(name), alone.column(name), equal_nan=True), name
    steps = alone.steps
    # In the second stage and in the third, or there alone.
    for ranks, step in ((1, steps // 2), (2, steps - 2))[bool(how) :]:
        killed = tmp_path / f"killed on {ranks}"
        assert script("staged.py", killed, 0.2, step, *how, ranks=ranks).returncode != 0
        assert 0 < open_run(killed).rows < alone.rows
        done = script("staged.py", killed, 0.2, 0, *how, ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert_same(open_run(killed), open_run(tmp_path / f"{ranks}"))


def test_the_same_choices_for_an_accuracy_on_two_ranks_and_after_a_kill(tmp_path):
    """A run that is resumed makes no pilot runs: it goes on as it was chosen."""
    runs = {}
    for ranks in (1, 2):
        done = script("staged.py", tmp_path / f"{ranks}", 0.05, 0, "accurate", ranks=ranks)
        assert done.returncode == 0, done.stderr
        runs[ranks] = open_run(tmp_path / f"{ranks}")
    assert runs[1].attributes["accuracy"] == runs[2].attributes["accuracy"]
    for name in (*ARRAYS, "error_estimate"):
        assert np.array_equal(runs[1].column(name), runs[2].column(name), equal_nan=True), name
    killed = tmp_path / "killed"
    assert script("staged.py", killed, 0.05, runs[2].steps - 1, "accurate", ranks=2).returncode != 0
    done = script("staged.py", killed, 0.05, 0, "accurate", ranks=2)
    assert done.returncode == 0, done.stderr
    assert_same(open_run(killed), runs[2])


def test_weighted_samples_on_any_number_of_ranks_and_after_a_kill(tmp_path):
    """Importance weights are stored with the first row."""
    runs = {}
    for ranks in (1, 2, 4):
        done = script("staged.py", tmp_path / f"{ranks}", 0.1, 0, "weighted", ranks=ranks)
        assert done.returncode == 0, done.stderr
        runs[ranks] = open_run(tmp_path / f"{ranks}")
        for name in (*ARRAYS, "log_weight"):
            assert np.array_equal(runs[ranks].column(name), runs[1].column(name)), name
    assert np.ptp(runs[1].log_weight()) > 1
    killed = tmp_path / "killed"
    assert script("staged.py", killed, 0.1, 4, "weighted", ranks=2).returncode != 0
    done = script("staged.py", killed, 0.1, 0, "weighted", ranks=2)
    assert done.returncode == 0, done.stderr
    assert_same(open_run(killed), runs[2])


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("fails", "staging has failed"), ("differs", "do not begin the same stage"),
        ("abstains", "do not begin the same stage"),
    ],
)  # fmt: skip
def test_ranks_that_do_not_decide_alike_stop_before_the_row(tmp_path, odd, said):
    """None waits for another, and nothing is committed that was not decided by all."""
    done = script("staged.py", tmp_path / "run", 0.25, 0, odd, ranks=2)
    assert done.returncode != 0
    assert said in done.stderr
    assert open_run(tmp_path / "run").rows == 1


def test_implicit_steps_on_any_number_of_ranks_and_after_a_kill(tmp_path):
    """In a stage that begins at t = 0.05; few steps, as ranks that share cores wait
    for one another in each of some hundred sums of a step."""
    runs = {}
    for ranks in (1, 2, 4):
        done = script("staged.py", tmp_path / f"{ranks}", 0.06, 0, "proximal", ranks=ranks)
        assert done.returncode == 0, done.stderr
        runs[ranks] = open_run(tmp_path / f"{ranks}")
    assert len(runs[1].stages) == 2
    for ranks in (2, 4):
        for name in ARRAYS:
            assert np.array_equal(runs[ranks].column(name), runs[1].column(name), equal_nan=True), (
                name
            )
    killed = tmp_path / "killed"
    assert script("staged.py", killed, 0.06, 2, "proximal", ranks=2).returncode != 0
    done = script("staged.py", killed, 0.06, 0, "proximal", ranks=2)
    assert done.returncode == 0, done.stderr
    assert_same(open_run(killed), runs[2])
