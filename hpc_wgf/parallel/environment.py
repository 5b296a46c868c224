"""The communicator of this process, from the environment variables of its launcher."""

from __future__ import annotations

import os

import torch

from ..errors import InputError, PlaceError
from .communicator import Communicator, LocalCommunicator
from .launcher import Launcher, Place, find_place
from .mpi import MPICommunicator
from .mpi_library import mpi_place
from .patience import Patience
from .torch_distributed import TorchCommunicator

_entered: TorchCommunicator | MPICommunicator | None = None


def communicator_from_environment(device: str = "auto", comm: str = "auto") -> Communicator:
    """The communicator of all processes that the launcher has started together.

    `device`: "cpu", "cuda", or "auto", which takes GPUs if this node has one for each of its ranks.
    `comm`: "torch" (torch.distributed), "mpi" (mpi4py), or "auto", which takes MPI under mpirun,
    torch.distributed under torchrun, srun and the DeepSpeed launcher, and `LocalCommunicator` in a
    process without a launcher. While a communicator between processes is open, later calls return
    it. On a CPU torch is set to one thread, unless OMP_NUM_THREADS is set.

    Errors: `InputError` for an unknown name, for what the launcher does not tell or the machine
    does not have, and where the ranks do not meet.
    """
    global _entered
    if _entered is not None and not _entered.closed:
        return _entered
    place = find_place(os.environ)
    if comm not in ("auto", "torch", "mpi"):
        raise InputError(f"communicator {comm!r} is not known: expected auto, torch or mpi")
    if comm == "mpi" or (comm == "auto" and place.launcher.is_mpi):
        place = mpi_place(place)
        _entered = MPICommunicator(_device(device, place), Patience.of())
    elif place.launcher is Launcher.NONE or (place.launcher is Launcher.SLURM and place.size == 1):
        return LocalCommunicator(_device(device, place))
    else:
        _entered = TorchCommunicator(place, _device(device, place), Patience.of())
    return _entered


def _device(name: str, place: Place) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r} is not known: expected auto, cpu or cuda")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    own = place.gpu(gpus)
    if name == "cpu" or (name == "auto" and own is None):
        one_thread()
        return torch.device("cpu")
    if gpus == 0:
        raise PlaceError("device cuda asked for, but torch sees no GPU here: use --device cpu")
    if own is None:
        raise PlaceError(
            f"{place.local_size} ranks on this node, but {gpus} GPUs visible: start as many ranks "
            "per node as there are GPUs"
        )
    device = torch.device("cuda", own)
    torch.cuda.set_device(device)
    return device


def one_thread() -> None:
    """Set torch to one thread, unless OMP_NUM_THREADS is set.

    The parallelism is that of ranks. Idle threads of several ranks, which spin, would cost far
    more time than they save, and the order of the sums in a matrix product, which depends on the
    number of threads, must not depend on the number of ranks.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
