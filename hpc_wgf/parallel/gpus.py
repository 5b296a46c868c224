"""What a rank computes with: the GPU that it takes, and that no two ranks take the same one."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from ..errors import InputError, PlaceError
from ..gpu import availability
from .launcher import Place


@dataclass(frozen=True)
class Resource:
    """What one rank computes with, as it tells the others."""

    host: str
    """The name of its node."""
    kind: str
    """"cpu" or "cuda"."""
    name: str = "CPU"
    """The model of its GPU."""
    card: str = ""
    """What no two GPUs have in common, the UUID."""
    visible: int = 0
    """GPUs that the process sees."""
    kernels: bool = False
    """Whether Triton's kernels work on its GPU."""

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """That of this process, which computes on `device`."""
        host = socket.gethostname()
        if device.type != "cuda":
            return cls(host, device.type)
        found = torch.cuda.get_device_properties(device)
        return cls(
            host, device.type, found.name, str(found.uuid), torch.cuda.device_count(),
            availability.works(device),
        )  # fmt: skip


def device_of(name: str, place: Place) -> torch.device:
    """The device of this process: "cpu", "cuda", or by "auto" a GPU wherever there is one.

    A process may see the GPUs of all ranks of its node, or its own alone, which only the cards
    themselves can tell: `refuse_unfit` finds what does not fit. On a CPU torch is set to one
    thread, unless OMP_NUM_THREADS is set.

    Errors: `InputError` for an unknown name, and for GPUs that are asked for or could be used, but
    cannot be used by this torch.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r} is not known: expected auto, cpu or cuda")
    if name == "cpu":
        return _cpu()
    gpus = torch.cuda.device_count()
    if gpus and not torch.cuda.is_available():
        raise PlaceError(
            f"this node has {gpus} GPU(s), but torch {torch.__version__} cannot use them "
            f"({_reason()}): install a torch made for this driver, or use --device cpu"
        )
    if gpus == 0 and name == "cuda":
        raise PlaceError("device cuda asked for, but torch sees no GPU here: use --device cpu")
    if gpus == 0:
        return _cpu()
    device = torch.device("cuda", place.local_rank % gpus)
    torch.cuda.set_device(device)
    return device


def _cpu() -> torch.device:
    one_thread()
    return torch.device("cpu")


def _reason() -> str:
    """Why torch cannot use the GPUs that the driver knows of."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).partition("\n")[0].rstrip(". ")
    return "it does not say why"


def one_thread() -> None:
    """Set torch to one thread, unless OMP_NUM_THREADS is set.

    The parallelism is that of ranks. Idle threads of several ranks, which spin, would cost far
    more time than they save, and the order of the sums in a matrix product, which depends on the
    number of threads, must not depend on the number of ranks.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def refuse_unfit(ranks: Sequence[Resource]) -> None:
    """Errors: `InputError`, alike on all ranks, where some have a GPU and others have none, or two
    have the same one: NCCL refuses that, or waits for ever. `ranks`: what each rank has."""
    first = {each.kind: rank for rank, each in reversed(list(enumerate(ranks)))}
    if len(first) > 1:
        cpu, gpu = first.pop("cpu"), min(first.values())
        raise InputError(
            f"rank {cpu} on {ranks[cpu].host} sees no GPU, but rank {gpu} on {ranks[gpu].host} "
            "does: give every rank a GPU, or use --device cpu"
        )
    taken: dict[str, int] = {}
    for rank, each in enumerate(ranks):
        other = taken.setdefault(each.card, rank) if each.card else rank
        if other != rank:
            there = sum(one.host == each.host for one in ranks)
            raise InputError(
                f"ranks {other} and {rank} on {each.host} would share one GPU ({each.card}), of "
                f"{each.visible} that they see: {there} ranks run there. Start one rank a GPU, let "
                "the scheduler give each rank its own (srun --gpus-per-task=1), or use --device cpu"
            )


def in_words(ranks: Sequence[Resource]) -> str:
    """What the ranks of a run compute with, as "4 ranks on 4 of 8 × NVIDIA H100"."""
    number = f"{len(ranks)} rank" + "s" * (len(ranks) > 1)
    if ranks[0].kind == "cpu":
        return f"{number} on CPUs" if len(ranks) > 1 else f"{number} on the CPU"
    hosts = {each.host: each.visible for each in ranks}
    there = max(len(ranks), sum(hosts.values()))
    # Where each rank sees its own GPU alone, those of others cannot be counted.
    share = f"{len(ranks)} of {there} GPUs" if there > len(ranks) else f"{there} GPU(s)"
    models = Counter(each.name for each in ranks)
    return f"{number} on {share}: {', '.join(sorted(models))}"


def settle(ranks: Sequence[Resource]) -> None:
    """Refuse what does not fit together, see `refuse_unfit`, and use the kernels of GPUs where
    they work on all of them."""
    refuse_unfit(ranks)
    availability.agree(all(each.kernels or each.kind != "cuda" for each in ranks))
