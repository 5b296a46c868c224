"""SIGKILL of a rank at a random moment, of four under a launcher or of two without one: the others
end, no committed row is lost, and the resumed run is the undisturbed one to the bit. `--moments 20`
for as many moments; `-k no_launcher --moments 30 --junit-xml FILE` records those of two ranks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from processes import SMALL, launched, needs, on_their_own, ranks_of, solved
from stores import assert_same

from hpc_wgf import StoredRun, open_run
from hpc_wgf.store import check

ROOT = Path(__file__).parents[2]
FLOW = [*SMALL, "--set", "output.every=0.02", "--set", "method.step=0.01"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run of four ranks."""
    store = tmp_path_factory.mktemp("undisturbed") / "run"
    solved("run", "ou-2d", *FLOW, "--out", store, ranks=4)
    return open_run(store)


@pytest.fixture(scope="module")
def on_one_rank(tmp_path_factory):
    """The undisturbed run of one rank, whose parameters are those of any power of two of them."""
    store = tmp_path_factory.mktemp("undisturbed") / "run"
    solved("run", "ou-2d", *FLOW, "--out", store)
    return open_run(store)


@pytest.fixture(scope="module")
def on_their_own_two(tmp_path_factory):
    """The undisturbed run of two ranks that no launcher watches."""
    store = tmp_path_factory.mktemp("undisturbed") / "run"
    ended(on_their_own("run", "ou-2d", *FLOW, "--out", store, ranks=2))
    return open_run(store)


def ended(jobs: list[subprocess.Popen]) -> None:
    """All ranks have ended well."""
    said = [job.communicate(timeout=240)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * len(jobs), said


def assert_same_flow(found: StoredRun, expected: StoredRun) -> None:
    for name in ("time", "theta", "step_size", "step_products"):
        assert np.array_equal(found.column(name), expected.column(name)), name


def rows_of(store: Path) -> int:
    """Committed rows, 0 before there is a store."""
    return open_run(store).rows if store.exists() else 0


def until(rows: int, job: subprocess.Popen, store: Path) -> None:
    end = time.monotonic() + 120
    while rows_of(store) < rows:
        assert job.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_rank_at_any_moment(tmp_path, undisturbed, moment):
    chance = random.Random(moment)
    store = tmp_path / "run"
    job = launched("run", "ou-2d", *FLOW, "--out", store, ranks=4)
    until(chance.randrange(1, undisturbed.rows - 1), job, store)
    a_row = float(undisturbed.last("wall_seconds")) / undisturbed.rows
    time.sleep(chance.uniform(0.0, a_row))
    pids, before, begun = ranks_of(job), rows_of(store), time.monotonic()
    os.kill(pids[chance.randrange(4)], signal.SIGKILL)
    said = job.communicate(timeout=60)[1]
    assert time.monotonic() - begun < 60
    assert job.returncode != 0
    assert "SIGKILL" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    torn = open_run(store)
    assert before <= torn.rows
    assert not check(torn)
    solved("resume", store, ranks=4)
    assert_same(open_run(store), undisturbed)


def test_a_killed_rank_that_no_launcher_watches(
    tmp_path, on_their_own_two, moment, record_property
):
    """The other one notices by itself, and the store is whole."""
    chance = random.Random(moment)
    store = tmp_path / "run"
    jobs = on_their_own("run", "ou-2d", *FLOW, "--out", store, ranks=2)
    until(chance.randrange(0, on_their_own_two.rows - 1), jobs[0], store)
    a_row = float(on_their_own_two.last("wall_seconds")) / on_their_own_two.rows
    time.sleep(chance.uniform(0.0, a_row))
    before, begun, lost = rows_of(store), time.monotonic(), chance.randrange(2)
    jobs[lost].kill()
    said = jobs[1 - lost].communicate(timeout=60)[1]
    took = time.monotonic() - begun
    jobs[lost].communicate()
    record_property("survivor_seconds", round(took, 2))
    record_property("rows", before)
    assert took < 60
    assert jobs[1 - lost].returncode not in (0, None)
    assert "Traceback" not in said
    if not store.exists():  # killed before there was one
        return
    torn = open_run(store)
    assert before <= torn.rows
    assert not check(torn)
    ended(on_their_own("resume", store, ranks=2))
    assert_same(open_run(store), on_their_own_two)


def test_torchrun_starts_all_again_when_a_rank_is_lost(tmp_path, on_one_rank):
    store = tmp_path / "run"
    job = launched("run", "ou-2d", *FLOW, "--out", store, "--resume", ranks=4, restarts=1)
    until(1, job, store)
    os.kill(ranks_of(job)[2], signal.SIGKILL)
    said = job.communicate(timeout=120)[1]
    assert job.returncode == 0, said
    assert_same_flow(open_run(store), on_one_rank)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def until_it_begins(job: subprocess.Popen) -> None:
    """The script sets up, or its ranks are still importing."""
    end = time.monotonic() + 60
    while not any(children(launcher) for launcher in children(job.pid)):
        assert job.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("script", "asked", "early"),
    [
        pytest.param("torchrun.sh", signal.SIGUSR1, True, id="torchrun, at once"),
        pytest.param("mpirun.sh", signal.SIGTERM, False, id="mpirun", marks=needs("mpirun", "mpi")),
    ],
)
def test_a_request_to_stop_reaches_all_ranks_through_the_launch_script(
    tmp_path, on_one_rank, script, asked, early
):
    """As a batch system sends it, to the script alone. One that came before the ranks could hear
    it was lost; Open MPI answers SIGTERM by killing them."""
    store = tmp_path / "run"
    command = ["bash", ROOT / "launch" / script, "run", "ou-2d", *FLOW, "--out", store]
    environment = {**os.environ, "RANKS": "2"}
    job = subprocess.Popen(
        list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True
    )
    until_it_begins(job) if early else until(1, job, store)
    job.send_signal(asked)
    said = job.communicate(timeout=60)[1]
    assert job.returncode != 0
    assert "go on with: hpc-wgf resume" in said
    assert rows_of(store) < on_one_rank.rows
    solved("resume", store)
    assert_same_flow(open_run(store), on_one_rank)
