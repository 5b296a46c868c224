"""The batch scripts on a real Slurm of two nodes: one run over both, preempted and queued again by
itself; an array of runs; a job that fails and one that is cancelled, which are not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from processes import SMALL, solved
from slurm_cluster import Cluster, missing
from stores import assert_same

from hpc_wgf import open_run
from hpc_wgf.store import check

ROOT = Path(__file__).parents[2]
LONG = [*SMALL, "--set", "output.every=0.1", "--set", "method.step=0.002"]

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The store of two ranks that nothing disturbs."""
    store = tmp_path_factory.mktemp("undisturbed") / "run"
    solved("run", "ou-2d", *LONG, "--out", store, ranks=2)
    return open_run(store)


def submitted(cluster: Cluster, folder: Path, script: str, *arguments: object, ranks: int = 1):
    """The number of a job of a script of slurm/, and its log."""
    job = cluster.submit(
        f"--output={folder}/%x-%j.log", ROOT / "slurm" / script, *arguments,
        cwd=ROOT, STORES=str(folder), RANKS=str(ranks), OMP_NUM_THREADS="1",
    )  # fmt: skip
    return job, folder / f"hpc-wgf-{job}.log"


def until(reached, patience: float, log: Path) -> None:
    end = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < end, log.read_text() if log.exists() else "no log"
        time.sleep(0.05)


def under_way(log: Path) -> bool:
    """Whether rank 0's progress, which `tail -f` shows, tells of the first row."""
    return log.exists() and "stored" in log.read_text()


def test_a_preempted_run_on_two_nodes_is_queued_again_and_the_undisturbed_one(
    cluster, undisturbed, tmp_path
):
    job, log = submitted(cluster, tmp_path, "multi_node.sbatch", "ou-2d", *LONG)
    until(lambda: under_way(log), 120, log)
    cluster.says("scancel", "--batch", "--signal=USR1", job)
    until(lambda: "is queued again" in log.read_text(), 60, log)
    store = tmp_path / f"ou-2d-{job}.zarr"
    assert (store / "checkpoint.npz").exists()
    assert open_run(store).rows < undisturbed.rows
    assert cluster.wait(job, 180) == "COMPLETED", log.read_text()
    said = log.read_text()
    assert "go on with: hpc-wgf resume" in said
    assert "Restarts=1" in cluster.says("scontrol", "show", "job", job)
    stored = open_run(store)
    assert stored.attributes["ranks"] == 2
    assert not check(stored)
    assert_same(stored, undisturbed)


def test_srun_alone_brings_the_ranks_of_two_nodes_together(cluster, undisturbed, tmp_path):
    """Without torchrun. The nodes' names, which do not resolve, need an address beside them."""
    program = [ROOT / ".venv/bin/python", "-m", "hpc_wgf", "run", "ou-2d", *LONG]
    cluster.environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    step = ["srun", "--nodes=2", "--ntasks=2", *program, "--out", tmp_path / "run"]
    said = cluster.says(*map(str, step))
    assert "finished" in said
    assert_same(open_run(tmp_path / "run"), undisturbed)


def test_an_array_solves_one_run_file_a_task(cluster, tmp_path):
    files = []
    for number in range(2):
        files.append(tmp_path / f"flow-{number}.toml")
        shown = cluster.says(str(ROOT / ".venv/bin/hpc-wgf"), "show", "ou-2d")
        files[-1].write_text(shown.replace("until = 0.7", f"until = 0.{number + 1}"))
    job = cluster.submit(
        "--array=0-1", f"--output={tmp_path}/%x-%A_%a.log", ROOT / "slurm" / "array.sbatch", *files,
        cwd=ROOT, STORES=str(tmp_path), RANKS="1",
    )  # fmt: skip
    for number in range(2):
        log = tmp_path / f"hpc-wgf-{job}_{number}.log"
        assert cluster.wait(f"{job}_{number}", 120) == "COMPLETED", log.read_text()
        stored = open_run(tmp_path / f"flow-{number}-{job}_{number}.zarr")
        assert stored.last("time") == pytest.approx(0.1 * (number + 1))


def test_a_sweep_is_an_array_whose_runs_lie_in_its_folder(cluster, tmp_path):
    """One of its two runs fails when it begins: the sweep says why, and takes it again if asked."""
    sweep = [
        str(ROOT / ".venv/bin/hpc-wgf"), "sweep", "ou-2d", *SMALL, "--out", str(tmp_path / "s"),
        "--grid", "problem.start.covariance=1.0,[1,2,3]",
    ]  # fmt: skip
    cluster.environment |= {"HPC_WGF": str(ROOT), "RANKS": "1"}
    said = cluster.says(*sweep, "--slurm")
    assert said.startswith("submitted 2 runs as job "), said
    job = said.split()[5].rstrip(";")
    states = [cluster.wait(f"{job}_{task}", 180) for task in (0, 1)]
    assert states == ["COMPLETED", "FAILED"]
    good, bad = json.loads(cluster.says(*sweep, "--look", "--json"))["runs"]
    assert (good["state"], bad["state"]) == ("finished", "failed")
    assert "covariance" in bad["reason"]
    assert not check(open_run(good["store"]))
    assert cluster.says(*sweep, "--slurm", "--retry").startswith("submitted 1 runs")


def test_a_wrong_run_fails_once_and_says_why(cluster, tmp_path):
    job, log = submitted(cluster, tmp_path, "single_node.sbatch", "ou10d")
    assert cluster.wait(job, 120) == "FAILED"
    assert log.read_text().count("did you mean 'ou-10d'") == 1


def test_a_cancelled_run_stops_at_a_checkpoint_and_is_not_queued_again(cluster, tmp_path):
    job, log = submitted(cluster, tmp_path, "single_node.sbatch", "ou-2d", *LONG, ranks=2)
    until(lambda: under_way(log), 120, log)
    cluster.says("scancel", job)
    assert cluster.wait(job, 60) == "CANCELLED"
    assert not check(open_run(tmp_path / f"ou-2d-{job}.zarr"))
    until(lambda: "go on with: hpc-wgf resume" in log.read_text(), 10, log)
    assert "is queued again" not in log.read_text()
