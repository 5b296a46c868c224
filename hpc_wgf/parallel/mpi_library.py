"""The MPI library behind mpi4py: whether it is there, fits its launcher, and knows of GPUs."""

from __future__ import annotations

import ctypes
from types import ModuleType

from ..errors import InputError
from .launcher import Launcher, Place


def load() -> ModuleType:
    """`mpi4py.MPI`; the import initialises MPI. Errors: `InputError` where there is none."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        raise InputError(
            f"MPI cannot be used here ({error}): pip install 'hpc-wgf[mpi]', or mpi4py built for "
            "this machine's MPI library, or use --comm torch"
        ) from error
    return MPI


def mpi_place(told: Place) -> Place:
    """Rank, size and the like as MPI has them, which must be what the launcher has `told`.

    Errors: `InputError` where they differ: an MPI library that does not understand its launcher
    starts as many worlds of one rank as there are processes, without a word.
    """
    mpi = load()
    world = mpi.COMM_WORLD
    here = world.Split_type(mpi.COMM_TYPE_SHARED)
    found = Place(
        told.launcher,
        world.Get_rank(),
        world.Get_size(),
        here.Get_rank(),
        here.Get_size(),
        told.address,
        told.port,
    )
    here.Free()
    if told.launcher is not Launcher.NONE and (told.rank, told.size) != (found.rank, found.size):
        library = mpi.Get_library_version().split(",")[0].strip("\0\n ")
        raise InputError(
            f"{told.launcher} says rank {told.rank} of {told.size}, but mpi4py's library "
            f"({library}) rank {found.rank} of {found.size}: the launcher belongs to another MPI. "
            "Start with that library's own mpirun (pip's lies in the bin folder of the Python "
            "environment; Slurm's srun may need --mpi=pmix or --mpi=pmi2), or use --comm torch"
        )
    return found


def is_cuda_aware(mpi: ModuleType) -> bool:
    """Whether the library reads and writes the memory of GPUs.

    Open MPI and MPICH answer by an extension of the standard that mpi4py leaves out; a library
    without it counts as one that does not.
    """
    try:
        query = ctypes.CDLL(mpi.__file__).MPIX_Query_cuda_support
    except (OSError, AttributeError):
        return False
    return bool(query() == 1)
