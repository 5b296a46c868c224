"""Ranks by torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ..errors import CommunicationError, InputError
from .communicator import Communicator, LocalCommunicator

_FAILURE = "hpc_wgf/failure"
_R = TypeVar("_R")


class TorchCommunicator:
    """The default process group, entered from RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.

    Errors: `CommunicationError` from every collective once a peer is gone.
    """

    world: ClassVar[TorchCommunicator | None] = None

    def __init__(self, device: torch.device, timeout: float = 600.0) -> None:
        self.device = device
        backend = "nccl" if device.type == "cuda" else "gloo"
        self.capturable = backend == "nccl"
        met = rendezvous("env://", timeout=timedelta(seconds=timeout))
        self._store, self.rank, self.size = next(iter(met))
        dist.init_process_group(
            backend,
            store=self._store,
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=timeout),
        )

    def sum(self, tensor: Tensor) -> Tensor:
        by_pairs = tensor.device.type == "cpu" and self.size & (self.size - 1) == 0
        self._collective(self._pairwise_sum if by_pairs else dist.all_reduce, tensor)
        return tensor

    def _pairwise_sum(self, tensor: Tensor) -> None:
        """All-reduce by recursive doubling: after k rounds a rank holds the sum of the 2ᵏ ranks
        of its subtree. As a + b = b + a, all ranks get the same bits, and the order of addition
        is that of one process going up the same binary tree (R. Thakur, R. Rabenseifner,
        W. Gropp, Int. J. High Perform. Comput. Appl. 19 (2005) 49, §4.4)."""
        distance = 1
        other = torch.empty_like(tensor)
        while distance < self.size:
            partner = self.rank ^ distance
            self.exchange(tensor, partner, other, partner)()
            tensor.add_(other)
            distance *= 2

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        transfers = [dist.P2POp(dist.isend, send, to), dist.P2POp(dist.irecv, receive, source)]
        posted = self._collective(dist.batch_isend_irecv, transfers)

        def wait() -> None:
            for transfer in posted:
                self._collective(transfer.wait)

        return wait

    def gather(self, item: Any) -> list[Any]:
        items: list[Any] = [None] * self.size
        self._collective(dist.all_gather_object, items, item)
        return items

    def report_failure(self, message: str) -> bool:
        note = f"{self.rank}|{message}"
        try:
            return bool(self._store.compare_set(_FAILURE, "", note).decode() == note)
        except RuntimeError:  # the store's host is gone: nobody is left to read the note
            return True

    def reported_failure(self, wait: float) -> str | None:
        try:
            deadline = time.monotonic() + wait
            while not self._store.check([_FAILURE]):
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.05)
            return str(self._store.get(_FAILURE).decode().partition("|")[2])
        except RuntimeError:
            return None

    def close(self) -> None:
        TorchCommunicator.world = None
        dist.destroy_process_group()

    @staticmethod
    def _collective(call: Callable[..., _R], *arguments: Any) -> _R:
        try:
            return call(*arguments)
        except RuntimeError as error:  # torch raises DistBackendError, a RuntimeError
            raise CommunicationError(f"a collective failed: {error}") from error


def communicator_from_environment(device: str = "auto") -> Communicator:
    """The communicator that this process's launcher asks for.

    One process without a launcher; torch.distributed when RANK and WORLD_SIZE are set
    (torchrun does), the same object at every call. `device`: "cpu", "cuda", or "auto" (a GPU for
    each rank of this node if there are as many).
    """
    if dist.is_initialized() and TorchCommunicator.world is not None:
        return TorchCommunicator.world
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "auto":
        enough = torch.cuda.is_available() and ranks_here <= torch.cuda.device_count()
        device = "cuda" if enough else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is not known: expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda asked for, but torch sees no GPU here: use --device cpu")
    place = torch.device("cpu")
    if device == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"local rank {local_rank} has no GPU: {torch.cuda.device_count()} visible. "
                "Start as many ranks per node as there are GPUs."
            )
        place = torch.device("cuda", local_rank)
        torch.cuda.set_device(place)
    else:
        _one_thread()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        TorchCommunicator.world = TorchCommunicator(place)
        return TorchCommunicator.world
    return LocalCommunicator(place)


def _one_thread() -> None:
    """One thread per rank unless OMP_NUM_THREADS says otherwise: ranks are the parallelism,
    spinning threads of neighbouring ranks cost far more than they bring, and the order of sums
    within a product must not depend on the number of ranks."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
