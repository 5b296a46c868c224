"""The MPI library behind mpi4py: whether it exists, fits its launcher, and can use GPU memory."""

from __future__ import annotations

import ctypes
from types import ModuleType

from ..errors import InputError
from .launcher import Launcher, Place


def load() -> ModuleType:
    """The module `mpi4py.MPI`, whose import initialises MPI.

    Errors: `InputError` where mpi4py, or an MPI library for it, is missing.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        raise InputError(
            f"MPI cannot be used here ({error}): pip install 'hpc-wgf[mpi]', or mpi4py built for "
            "this machine's MPI library, or use --comm torch"
        ) from error
    return MPI


def mpi_place(told: Place) -> Place:
    """The place of this process according to MPI, compared with that `told` by the launcher.

    Errors: `InputError` where rank or size differ. An MPI library that does not understand its
    launcher silently makes every process rank 0 of 1.
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
    """Whether the MPI library can read and write the memory of GPUs.

    Open MPI and MPICH tell it by a function beyond the standard, which mpi4py does not wrap. A
    library without this function is taken to be one that cannot. `mpi`: the module of `load`.
    """
    try:
        query = ctypes.CDLL(mpi.__file__).MPIX_Query_cuda_support
    except (OSError, AttributeError):
        return False
    return bool(query() == 1)
