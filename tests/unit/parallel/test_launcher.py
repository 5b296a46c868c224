"""Every launcher's variables, as printed by real ones, become the same kind of place."""

from __future__ import annotations

import socket

import pytest
from processes import SMALL, cli, needs

from hpc_wgf import InputError
from hpc_wgf.parallel import Launcher, Place, find_place
from hpc_wgf.parallel.launcher import first_host

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29400",
}  # fmt: skip
DEEPSPEED = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "prterun-vm-6813@1", "PMIX_RANK": "1",
}  # fmt: skip
HYDRA = {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
BATCH_SCRIPT = {
    "SLURM_JOB_ID": "71", "SLURM_PROCID": "0", "SLURM_NTASKS": "3", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n[07-08]", "SLURM_TASKS_PER_NODE": "2,1",
}  # fmt: skip
SRUN = BATCH_SCRIPT | {
    "SLURM_PROCID": "2", "SLURM_NODEID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_STEP_NODELIST": "n[07-08]",
}  # fmt: skip
SRUN_HERE = SRUN | {
    "SLURM_PROCID": "1", "SLURM_NODEID": "0", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "n07",
}  # fmt: skip

FOUND = {
    "no launcher": ({}, Place()),
    "torchrun": (TORCHRUN, Place(Launcher.TORCH, 5, 8, 1, 4, "node1", 29400)),
    "deepspeed": (DEEPSPEED, Place(Launcher.TORCH, 1, 2, 1, 2, "127.0.0.1", 29500)),
    "open mpi": (OPEN_MPI, Place(Launcher.OPEN_MPI, 1, 2, 1, 2, "127.0.0.1", 19982)),
    "hydra on two nodes": (HYDRA, Place(Launcher.HYDRA, 3, 4, 1, 2, None, None)),
    "srun on two nodes": (SRUN, Place(Launcher.SLURM, 2, 3, 0, 1, "n07", 28730)),
    "srun on one node": (SRUN_HERE, Place(Launcher.SLURM, 1, 2, 1, 2, "127.0.0.1", 28730)),
    "a batch script without srun": (BATCH_SCRIPT, Place()),
    "torchrun within srun": (SRUN | TORCHRUN, Place(Launcher.TORCH, 5, 8, 1, 4, "node1", 29400)),
    "mpirun within srun's daemons": (
        SRUN | OPEN_MPI, Place(Launcher.OPEN_MPI, 1, 2, 1, 2, "127.0.0.1", 19982),
    ),
    "srun --mpi=pmi2": (
        SRUN | {"PMI_RANK": "2", "PMI_SIZE": "3"}, Place(Launcher.SLURM, 2, 3, 0, 1, "n07", 28730),
    ),
    "hydra, told where": (
        HYDRA | {"MASTER_ADDR": "n1", "MASTER_PORT": "4000"},
        Place(Launcher.HYDRA, 3, 4, 1, 2, "n1", 4000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_the_place_is_read_from_the_variables_of_the_launcher(name):
    environment, expected = FOUND[name]
    assert find_place(environment) == expected


def test_the_ports_of_neighbouring_jobs_and_steps_differ_and_are_not_given_out_by_systems():
    ports = [
        find_place(SRUN | {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}).port
        for job in range(1, 11)
        for step in range(3)
    ]
    assert len(set(ports)) == len(ports)
    assert all(15_000 <= port < 32_000 for port in ports)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("gpu[003-007,9],login", "gpu003"),
        ("gpu[9,003-007]", "gpu9"),
        ("rack[1-2]-node[04-05].site", "rack1-node04.site"),
        ("", None),
    ],
)
def test_the_first_host_of_a_list_of_nodes(names, first):
    assert first_host(names) == first


@pytest.mark.parametrize(
    ("counts", "node", "expected"), [("4(x2),3", 1, 4), ("4(x2),3", 2, 3), ("8", 5, 8)]
)
def test_tasks_of_a_node(counts, node, expected):
    changed = {"SLURM_STEP_TASKS_PER_NODE": counts, "SLURM_NODEID": str(node)}
    assert find_place(SRUN | changed).local_size == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (TORCHRUN | {"RANK": "first"}, "RANK=first: expected a whole number"),
        (TORCHRUN | {"RANK": "8"}, "rank 8 of 8"),
        (TORCHRUN | {"LOCAL_RANK": "4"}, "on this node 4 of 4"),
        (SRUN | {"SLURM_STEP_TASKS_PER_NODE": "two"}, "'two' cannot be read"),
    ],
)
def test_variables_that_make_no_sense_are_refused(environment, message):
    with pytest.raises(InputError, match=message):
        find_place(environment)


@needs("mpirun", "mpi")
def test_an_mpi_library_that_does_not_know_its_launcher_is_refused():
    """Two ranks of MPICH's mpirun with mpi4py on Open MPI solved the same problem twice, each as a
    world of its own."""
    mpich = {"PMI_RANK": "0", "PMI_SIZE": "2", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "2"}
    done = cli("run", "ou-2d", **mpich)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the mpirun of MPICH or Intel MPI says rank 0 of 2")
    assert "rank 0 of 1" in done.stderr
    assert "--comm torch" in done.stderr
    silent = cli("run", "ou-2d", **mpich | {"PMI_RANK": "1", "MPI_LOCALRANKID": "1"})
    assert (silent.returncode, silent.stderr) == (2, "")


def test_ranks_that_cannot_meet_are_told_what_to_set():
    done = cli("run", "ou-2d", "--comm", "torch", **HYDRA | {"PMI_RANK": "0"})
    assert done.returncode == 2
    assert "set MASTER_ADDR and MASTER_PORT" in done.stderr


def test_an_unknown_communicator_is_refused():
    done = cli("run", "ou-2d", "--comm", "nccl")
    assert done.returncode == 2
    assert "expected auto, torch or mpi" in done.stderr


def test_one_task_of_srun_needs_no_meeting_place(tmp_path):
    """Two runs in one interactive job wanted the same port, and the second died of it."""
    alone = SRUN_HERE | {
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "1",
        "SLURM_STEP_TASKS_PER_NODE": "1", "MASTER_PORT": "1",
    }  # fmt: skip
    done = cli("run", "ou-2d", *SMALL, "--out", tmp_path / "run", **alone)
    assert done.returncode == 0, done.stderr


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        first = SRUN_HERE | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "MASTER_PORT": port}
        done = cli("run", "ou-2d", **first)
    assert done.returncode == 2
    assert done.stderr.startswith("error: rank 0 of 2 did not meet the others at 127.0.0.1, port")
    assert "set MASTER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rank_without_the_device_says_so_for_its_node():
    """Only rank 0 spoke, and it had its device: the others waited for ten minutes."""
    elsewhere = SRUN | {"SLURM_PROCID": "2", "SLURM_LOCALID": "0"}
    done = cli("run", "ou-2d", "--device", "cuda", **elsewhere)
    assert (done.returncode, done.stderr.count("error: device cuda")) == (2, 1)
    second = SRUN_HERE | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
    assert cli("run", "ou-2d", "--device", "cuda", **second).stderr == ""
