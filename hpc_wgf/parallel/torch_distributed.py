"""Communication between ranks by torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ..errors import CommunicationError, InputError, PlaceError
from .launcher import Place
from .pairwise import pairwise_sum

_FAILURE, _LEFT, _DEVICE = "hpc_wgf/failure", "hpc_wgf/left", "hpc_wgf/device"
_CONNECTED, _COMPLETE = "hpc_wgf/connected", "hpc_wgf/complete"
_SETTLING = 0.05  # Seconds in which a thread of a closed group gets the interpreter's lock.
_PATIENCE = 5.0  # Seconds in which others read reports, which the process of rank 0 may hold.
_R = TypeVar("_R")


class TorchCommunicator:
    """The `Communicator` of all ranks by the default process group of torch.distributed.

    `place`: that of this process, with the address and port at which the ranks meet. `device`:
    where this rank computes. `timeout`: seconds after which a rank no longer waits for others.

    Errors: `InputError` where the place has no address or port, the ranks do not meet, or their
    devices differ in kind; `CommunicationError` in every collective after a rank has ended.
    """

    def __init__(self, place: Place, device: torch.device, timeout: float = 600.0) -> None:
        self.device = device
        self.rank, self.size = place.rank, place.size
        self.closed = False
        backend = "nccl" if device.type == "cuda" else "gloo"
        self.capturable = backend == "nccl"
        patience = timedelta(seconds=timeout)
        try:
            met = rendezvous(_meeting_point(place), self.rank, self.size, timeout=patience)
            self._store, _, _ = next(iter(met))
            self._agree_on_device()
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=patience
            )
            self._await_all(patience)
        except RuntimeError as error:  # DistNetworkError, DistStoreError
            first = str(error).partition("\n")[0]
            raise InputError(
                f"rank {self.rank} of {self.size} did not meet the others at {place.address}, port "
                f"{place.port}: {first} Either another job has that port (set MASTER_PORT to a "
                "free one, the same on all ranks) or a rank has ended before"
            ) from error

    def _agree_on_device(self) -> None:
        """Refuse ranks on CPUs together with ranks on GPUs: gloo and NCCL cannot communicate."""
        mine = self.device.type
        if self.rank == 0:
            self._store.set(_DEVICE, mine)
        first = self._store.get(_DEVICE).decode()
        if first != mine:
            raise PlaceError(
                f"rank {self.rank} runs on {mine}, but rank 0 on {first}: nodes differ in their "
                "GPUs; use --device cpu, or nodes of one kind"
            )

    def _await_all(self, patience: timedelta) -> None:
        """Wait until all ranks have connected.

        A rank that failed before would be mistaken for one that never came.
        """
        if self._store.add(_CONNECTED, 1) == self.size:
            self._store.set(_COMPLETE, "")
        self._store.wait([_COMPLETE], patience)

    def sum(self, tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu":
            return pairwise_sum(self, tensor)
        self._collective(dist.all_reduce, tensor)
        return tensor

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
        except RuntimeError:  # The store's host has ended: no rank is left to read the report.
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
        self.closed = True
        dist.destroy_process_group()
        # A group kept alive by a reference cycle has threads, and one that frees its last tensor
        # while the interpreter ends would abort the process. Collecting the group joins them.
        gc.collect()
        time.sleep(_SETTLING)

    def abort(self, status: int) -> NoReturn:
        """End this process. The collectives of other ranks fail, or the launcher ends them."""
        sys.stdout.flush()
        sys.stderr.flush()
        with suppress(RuntimeError):  # The store's host may have ended.
            left = self._store.add(_LEFT, 1)
            if self.rank == 0 and left < self.size:
                threading.Thread(target=self.close, daemon=True).start()  # Wakes the others.
            end = time.monotonic() + _PATIENCE
            while self.rank == 0 and left < self.size and time.monotonic() < end:
                time.sleep(0.01)
                left = self._store.add(_LEFT, 0)
        os._exit(status)  # A clean-up would wait for the others.

    @staticmethod
    def _collective(call: Callable[..., _R], *arguments: Any) -> _R:
        try:
            return call(*arguments)
        except RuntimeError as error:  # torch raises DistBackendError, a RuntimeError
            raise CommunicationError(f"a collective failed: {error}") from error


def _meeting_point(place: Place) -> str:
    missing = [
        name
        for name, value in (("MASTER_ADDR", place.address), ("MASTER_PORT", place.port))
        if value is None
    ]
    if missing:
        raise InputError(
            f"{place.launcher} does not tell where rank 0 of {place.size} can be met: set "
            f"{' and '.join(missing)} to the host of rank 0 and a free port there, the same on "
            "all ranks, or use --comm mpi"
        )
    host = f"[{place.address}]" if ":" in str(place.address) else place.address
    return f"tcp://{host}:{place.port}"
