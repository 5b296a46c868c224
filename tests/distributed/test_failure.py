"""A failure on one rank ends all, with one message that names rank and cause, none hanging."""

from __future__ import annotations

import re
import subprocess

import pytest
from processes import FLAWED, cli, errors, flawed, solved
from stores import assert_same

from hpc_wgf import open_run
from hpc_wgf.store import check


@pytest.mark.parametrize("ranks", [4])
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
    done, seconds = flawed(tmp_path, "not_a_number", "--set", "method.tolerance=1e-2")
    assert done.returncode != 0
    assert "rejected" in errors(done)[0]
    assert "not finite at" in errors(done)[0]
    assert seconds < 60


def test_a_clock_that_is_behind_changes_nothing(tmp_path):
    few = ["--set", "problem.until=0.2"]
    done, _ = flawed(tmp_path, "before_its_time", *few)
    assert done.returncode == 0, done.stderr
    done, _ = flawed(tmp_path / "right", "harmonic", *few)
    assert_same(open_run(tmp_path / "right" / "run"), open_run(tmp_path / "run"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes, and how it is mounted otherwise."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of its own is mounted by root only")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    yield place, remount
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_and_one_that_cannot_be_written_to(tmp_path, small_disk):
    place, remount = small_disk
    run = ["run", "ou-2d", *FLAWED, "--set", "problem.until=0.5", "--set", "output.particles=12000"]
    done = cli(*run, "--out", place / "run", ranks=2, timeout=120)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert re.search(r"(rank \d|all 2 ranks): cannot write a row to", errors(done)[0])
    assert "No space left on device" in errors(done)[0]
    torn = open_run(place / "run")
    assert torn.rows > 1
    assert not check(torn)

    remount("ro,size=2m")
    done = cli("resume", place / "run", ranks=2, timeout=120)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert re.search(r"rank 0: cannot write to the store .*Read-only file system", errors(done)[0])

    remount("rw,size=64m")
    solved("resume", place / "run", ranks=2)
    solved(*run, "--out", tmp_path / "whole", ranks=2)
    assert_same(open_run(tmp_path / "whole"), open_run(place / "run"))
