"""The communicator of this process, from the environment variables of its launcher."""

from __future__ import annotations

import os

from ..errors import InputError
from .communicator import Communicator, LocalCommunicator
from .gpus import Resource, device_of, settle
from .launcher import Launcher, find_place
from .mpi import MPICommunicator
from .mpi_library import mpi_place
from .patience import Patience
from .torch_distributed import TorchCommunicator

_entered: TorchCommunicator | MPICommunicator | None = None


def communicator_from_environment(device: str = "auto", comm: str = "auto") -> Communicator:
    """The communicator of all processes that the launcher has started together.

    `device`: "cpu", "cuda", or "auto", which takes GPUs wherever there are any: that they are left
    idle has to be asked for.
    `comm`: "torch" (torch.distributed), "mpi" (mpi4py), or "auto", which takes MPI under mpirun,
    torch.distributed under torchrun, srun and the DeepSpeed launcher, and `LocalCommunicator` in a
    process without a launcher. While a communicator between processes is open, later calls return
    it. On a CPU torch is set to one thread, unless OMP_NUM_THREADS is set.

    Errors: `InputError` for an unknown name, for what the launcher does not tell or the machine
    does not have, where two ranks would share a GPU, and where the ranks do not meet.
    """
    global _entered
    if _entered is not None and not _entered.closed:
        return _entered
    place = find_place(os.environ)
    if comm not in ("auto", "torch", "mpi"):
        raise InputError(f"communicator {comm!r} is not known: expected auto, torch or mpi")
    if comm == "mpi" or (comm == "auto" and place.launcher.is_mpi):
        place = mpi_place(place)
        ranks = MPICommunicator(device_of(device, place), Patience.of())
        settle(ranks.gather(Resource.of(ranks.device)))
        _entered = ranks
    elif place.launcher is Launcher.NONE or (place.launcher is Launcher.SLURM and place.size == 1):
        return LocalCommunicator(device_of(device, place))
    else:
        _entered = TorchCommunicator(place, device_of(device, place), Patience.of())
    return _entered
