"""One run by every launcher: the same bits as in one process; a failure ends all, with one word."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from processes import DEEPSPEED, MPIRUN, SMALL, cli, errors, flawed, solved

from hpc_wgf import open_run

# Its ring of ranks and its all-reduces: both kinds of communication.
FLOW = [
    *SMALL,
    "--set", 'problem.energy=[{kind="interaction", kernel={kind="gaussian-kernel"}}, '
    '{kind="internal", m=2.4}]',
]  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """θ of one process."""
    store = tmp_path_factory.mktemp("alone") / "run"
    assert solved("run", "ou-2d", *FLOW, "--out", store)["ranks"] == 1
    return open_run(store).column("theta")


@pytest.mark.parametrize("launcher", [MPIRUN, DEEPSPEED])
def test_two_ranks_by_any_launcher_give_the_bits_of_one_process(tmp_path, alone, launcher):
    summary = solved("run", "ou-2d", *FLOW, "--out", tmp_path / "run", ranks=2, launcher=launcher)
    assert summary["ranks"] == 2
    assert np.array_equal(open_run(tmp_path / "run").column("theta"), alone)


@pytest.mark.parametrize("launcher", [MPIRUN])
def test_torch_distributed_under_mpirun_gives_them_too(tmp_path, alone, launcher):
    settings = [*FLOW, "--comm", "torch", "--out", tmp_path / "run"]
    assert solved("run", "ou-2d", *settings, ranks=2, launcher=launcher)["ranks"] == 2
    assert np.array_equal(open_run(tmp_path / "run").column("theta"), alone)


def test_the_variables_of_srun_bring_two_processes_together(tmp_path, alone):
    """Started by hand, as srun starts them on two nodes of which the first is this machine."""
    step = {
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "localhost,n[1-2]",
        "SLURM_LOCALID": "0",
    }  # fmt: skip

    def task(rank: int) -> subprocess.CompletedProcess:
        own = {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)}
        return cli("run", "ou-2d", *FLOW, "--out", tmp_path / "run", launcher="none", **step, **own)

    with ThreadPoolExecutor(2) as nodes:
        done = list(nodes.map(task, range(2)))
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    stored = open_run(tmp_path / "run")
    assert stored.attributes["ranks"] == 2
    assert np.array_equal(stored.column("theta"), alone)


FAILURES = {
    "the first raises": ("raises", 0, "rank 0: ZeroDivisionError: the flaw of this potential"),
    "the second raises": ("raises", 1, "rank 1: ZeroDivisionError: the flaw of this potential"),
    "before the start": ("missing_on_one_node", 1, "FileNotFoundError: table.dat"),
    "not a number": ("not_a_number", 1, "values are not finite"),
}
# Under DeepSpeed those in which rank 0, which holds the notes of all, is the first to leave.
BY_DEEPSPEED = ("the first raises", "not a number")


@pytest.mark.parametrize(
    ("launcher", "function", "rank", "message"),
    [
        *(pytest.param("mpirun", *FAILURES[name], id=f"mpirun {name}", marks=MPIRUN.marks)
          for name in FAILURES),
        *(pytest.param("deepspeed", *FAILURES[name], id=f"deepspeed {name}", marks=DEEPSPEED.marks)
          for name in BY_DEEPSPEED),
    ],
)  # fmt: skip
def test_a_failure_on_one_rank_ends_all_with_one_message(
    tmp_path, launcher, function, rank, message
):
    done, seconds = flawed(tmp_path, function, rank=rank, launcher=launcher)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert message in errors(done)[0]
    assert f"rank {rank}" in errors(done)[0]
    assert seconds < 60


@pytest.mark.parametrize("launcher", [MPIRUN])
def test_a_killed_rank_ends_all(tmp_path, launcher):
    """mpirun itself says which rank got which signal."""
    potential = 'problem.energy.0={kind="user", function="user_objects:kills"}'
    done = cli(
        "run", "ou-2d", *SMALL, "--set", "problem.until=1", "--set", potential,
        "--out", tmp_path / "run", ranks=2, launcher=launcher, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "rank 1" in done.stderr
    assert "signal 9" in done.stderr
    assert open_run(tmp_path / "run").rows >= 1


@pytest.mark.parametrize("launcher", [MPIRUN])
def test_wrong_input_is_said_once(tmp_path, launcher):
    done = cli("run", "ou10d", "--out", tmp_path / "run", ranks=2, launcher=launcher)
    assert done.returncode != 0
    assert len(errors(done)) == 1, done.stderr
    assert "did you mean 'ou-10d'" in errors(done)[0]
