"""The place of a process among its ranks, from the environment variables of its launcher."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ..errors import InputError

_LOCAL = "127.0.0.1"
_PORTS = range(15_000, 32_000)  # Systems give higher ones to outgoing connections.


class Launcher(StrEnum):
    """The program that has started this process, as error messages name it."""

    NONE = "none"
    TORCH = "torchrun or the DeepSpeed launcher"
    OPEN_MPI = "Open MPI's mpirun"
    HYDRA = "the mpirun of MPICH or Intel MPI"
    SLURM = "srun"

    @property
    def is_mpi(self) -> bool:
        """Whether this launcher starts MPI programs only."""
        return self in (Launcher.OPEN_MPI, Launcher.HYDRA)


@dataclass(frozen=True)
class Place:
    """The place of a process among the ranks of its run and on its node.

    Errors: `InputError` for a rank that is negative or not below the number of ranks.
    """

    launcher: Launcher = Launcher.NONE
    """The program that has started the process."""
    rank: int = 0
    """Its number among all ranks."""
    size: int = 1
    """The number of ranks."""
    local_rank: int = 0
    """Its number among the ranks of its node."""
    local_size: int = 1
    """The number of ranks of its node."""
    address: str | None = None
    """The host where rank 0 can be met; None where the launcher does not tell."""
    port: int | None = None
    """The port there; None where the launcher does not tell."""

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.size and 0 <= self.local_rank < self.local_size):
            raise InputError(
                f"{self.launcher} says rank {self.rank} of {self.size}, on this node "
                f"{self.local_rank} of {self.local_size}: ranks count from 0 and stay below their "
                "number. Look for variables of another launcher in the environment."
            )


def find_place(environment: Mapping[str, str]) -> Place:
    """The place of this process, from the variables of `environment`, as a rule `os.environ`.

    Of several launchers the innermost counts: srun may have started torchrun, or the daemons of
    mpirun, whose SLURM_PROCID is then in the environment. MASTER_ADDR and MASTER_PORT, where set,
    replace what the launcher says. Without a launcher it is rank 0 of 1.

    Errors: `InputError` for values that are no numbers or contradict each other.
    """
    for variables, place in (
        (("RANK", "WORLD_SIZE"), _torch),
        (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), _open_mpi),
        # `srun --mpi=pmi2` sets PMI_RANK as well, but not MPI_LOCALRANKID.
        (("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"), _hydra),
        # A batch script has SLURM_PROCID=0 and SLURM_NTASKS too; only steps of srun have this one.
        (("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), _slurm),
    ):
        if all(name in environment for name in variables):
            return place(environment)
    return Place()


def _torch(environment: Mapping[str, str]) -> Place:
    local_rank = _number(environment, "LOCAL_RANK", 0)
    # The DeepSpeed launcher calls it LOCAL_SIZE.
    here = "LOCAL_WORLD_SIZE" if "LOCAL_WORLD_SIZE" in environment else "LOCAL_SIZE"
    return Place(
        Launcher.TORCH,
        _number(environment, "RANK"),
        _number(environment, "WORLD_SIZE"),
        local_rank,
        _number(environment, here, local_rank + 1),
        *_master(environment, None, None),
    )


def _open_mpi(environment: Mapping[str, str]) -> Place:
    size = _number(environment, "OMPI_COMM_WORLD_SIZE")
    local_rank = _number(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0)
    local_size = _number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", local_rank + 1)
    return Place(
        Launcher.OPEN_MPI,
        _number(environment, "OMPI_COMM_WORLD_RANK"),
        size,
        local_rank,
        local_size,
        *_master(environment, _LOCAL if local_size == size else None, "PMIX_NAMESPACE"),
    )


def _hydra(environment: Mapping[str, str]) -> Place:
    size = _number(environment, "PMI_SIZE")
    local_rank = _number(environment, "MPI_LOCALRANKID")
    local_size = _number(environment, "MPI_LOCALNRANKS", local_rank + 1)
    return Place(
        Launcher.HYDRA,
        _number(environment, "PMI_RANK"),
        size,
        local_rank,
        local_size,
        # Hydra gives its ranks no name of the job: only a Slurm job around it has one.
        *_master(environment, _LOCAL if local_size == size else None, "SLURM_JOB_ID"),
    )


def _slurm(environment: Mapping[str, str]) -> Place:
    size = _number(environment, "SLURM_STEP_NUM_TASKS")
    local_rank = _number(environment, "SLURM_LOCALID", 0)
    on_nodes = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get(
        "SLURM_NTASKS_PER_NODE", str(local_rank + 1)
    )
    node = _number(environment, "SLURM_NODEID", 0)
    local_size = _tasks_on(on_nodes, node)
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    head = _LOCAL if local_size == size else first_host(nodes)
    return Place(
        Launcher.SLURM,
        _number(environment, "SLURM_PROCID"),
        size,
        local_rank,
        local_size,
        *_master(environment, head, "SLURM_JOB_ID", "SLURM_STEP_ID"),
    )


def _master(
    environment: Mapping[str, str], address: str | None, *job: str | None
) -> tuple[str | None, int | None]:
    """Address and port of rank 0.

    The port is derived from the variables that name the `job`, so that all its ranks find the same
    one, while jobs that share a node find different ones, as a rule.
    """
    name = "/".join(environment.get(variable, "") for variable in job if variable).strip("/")
    port = _PORTS[zlib.crc32(name.encode()) % len(_PORTS)] if name else None
    if "MASTER_PORT" in environment:
        port = _number(environment, "MASTER_PORT")
        if not 0 < port < 1 << 16:
            raise InputError(
                f"environment variable MASTER_PORT={port}: expected a port from 1 to 65535"
            )
    return environment.get("MASTER_ADDR") or address, port


def first_host(names: str) -> str | None:
    """The first name in a Slurm node list, as "a03" in "a[03-07,9],b"; None for an empty list."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", names)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group()) if first else None


def _tasks_on(counts: str, node: int) -> int:
    """Entry `node` of Slurm's run-length list, in which "4(x2),3" is 4, 4, 3; beyond its end the
    last entry, as a single one holds for all nodes."""
    expanded: list[int] = []
    for count in counts.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", count)
        if found is None:
            raise InputError(
                f"tasks per node {counts!r} cannot be read: expected a list such as '4(x2),3'"
            )
        expanded += [int(found[1])] * int(found[2] or 1)
    return expanded[node] if node < len(expanded) else expanded[-1]


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    given = environment.get(name)
    if given is None and default is not None:
        return default
    if given is None or not given.isdecimal():
        raise InputError(f"environment variable {name}={given}: expected a whole number from 0")
    return int(given)
