"""A failure on one rank ends all, with one message that names rank and cause, none hanging."""

from __future__ import annotations

import time

import numpy as np
import pytest
from processes import cli, errors, solved

from hpc_wgf import open_run

BASE = [
    "--set", "problem.until=1.0",
    "--set", "method.samples=200",
    "--set", "output.every=0.05",
    "--set", "method.scheme=heun",
]  # fmt: skip


def flawed(tmp_path, function, *, ranks=2, rank=1, settings=()):
    begun = time.monotonic()
    potential = f'problem.energy.0={{kind="user", function="user_objects:{function}"}}'
    done = cli(
        "run", "ou-2d", *BASE, "--set", potential, *settings, "--out", tmp_path / "run",
        ranks=ranks, FLAWED_RANK=str(rank), timeout=120,
    )  # fmt: skip
    return done, time.monotonic() - begun


@pytest.mark.parametrize("ranks", [2, 4])
def test_not_a_number_on_one_rank(tmp_path, ranks):
    done, seconds = flawed(tmp_path, "not_a_number", ranks=ranks)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert "values are not finite" in errors(done)[0]
    assert "rank 1" in errors(done)[0]
    assert "rank 0" not in errors(done)[0]
    assert seconds < 60


@pytest.mark.parametrize("rank", [0, 1])
def test_an_exception_on_one_rank(tmp_path, rank):
    done, seconds = flawed(tmp_path, "raises", rank=rank)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert f"rank {rank}: ZeroDivisionError: the flaw of this potential" in errors(done)[0]
    assert seconds < 60


def test_an_exception_on_one_rank_before_the_start(tmp_path):
    done, seconds = flawed(tmp_path, "missing_on_one_node")
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert "rank 1" in errors(done)[0]
    assert "FileNotFoundError: table.dat" in errors(done)[0]
    assert seconds < 60
    assert not (tmp_path / "run").exists()


def test_not_a_number_with_step_control_stops_too(tmp_path):
    """Shorter steps do not mend a potential that is broken: the run ends, and says why."""
    done, seconds = flawed(tmp_path, "not_a_number", settings=["--set", "method.tolerance=1e-2"])
    assert done.returncode != 0
    assert "rejected" in errors(done)[0]
    assert "not finite at" in errors(done)[0]
    assert seconds < 90


def test_a_killed_rank_loses_no_committed_row(tmp_path):
    """SIGKILL in the middle of a run: the other rank ends, and resume gives the undisturbed run."""
    done, seconds = flawed(tmp_path, "kills")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr  # torchrun names the rank and the signal
    assert seconds < 60
    torn = open_run(tmp_path / "run")
    assert 1 <= torn.rows < 21
    resumed = solved("resume", tmp_path / "run", ranks=2, FLAWED_RANK="none")
    assert resumed["finished"]

    done, _ = flawed(tmp_path / "whole", "harmonic")
    assert done.returncode == 0, done.stderr
    a, b = open_run(tmp_path / "whole" / "run"), open_run(tmp_path / "run")
    for name in ("theta", "particles", "step_products", "step_size", "time"):
        assert np.array_equal(a.column(name), b.column(name)), name
