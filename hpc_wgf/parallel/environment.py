"""From the environment of a launcher to the communicator of this process."""

from __future__ import annotations

import os

import torch

from ..errors import InputError, PlaceError
from .communicator import Communicator, LocalCommunicator
from .launcher import Launcher, Place, find_place
from .mpi import MPICommunicator
from .mpi_library import mpi_place
from .torch_distributed import TorchCommunicator

_entered: TorchCommunicator | MPICommunicator | None = None


def communicator_from_environment(device: str = "auto", comm: str = "auto") -> Communicator:
    """The communicator that this process's launcher asks for, the same object at every call.

    `device`: "cpu", "cuda", or "auto" (a GPU for each rank of this node if there are as many).
    `comm`: "torch" (torch.distributed), "mpi" (mpi4py), or "auto": MPI under mpirun,
    torch.distributed under torchrun, srun and the DeepSpeed launcher, none in a process without a
    launcher. Errors: `InputError` for what the machine or the launcher cannot give.
    """
    global _entered
    if _entered is not None and not _entered.closed:
        return _entered
    place = find_place(os.environ)
    if comm not in ("auto", "torch", "mpi"):
        raise InputError(f"communicator {comm!r} is not known: expected auto, torch or mpi")
    if comm == "mpi" or (comm == "auto" and place.launcher.is_mpi):
        place = mpi_place(place)
        _entered = MPICommunicator(_device(device, place))
    elif place.launcher is Launcher.NONE or (place.launcher is Launcher.SLURM and place.size == 1):
        return LocalCommunicator(_device(device, place))
    else:
        _entered = TorchCommunicator(place, _device(device, place))
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
    """One thread per rank unless OMP_NUM_THREADS says otherwise: ranks are the parallelism,
    spinning threads of neighbouring ranks cost far more than they bring, and the order of sums
    within a product must not depend on the number of ranks."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
