"""Communication between ranks by torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import gc
import os
import socket
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

from ..errors import CommunicationError, InputError, MissingRankError, PlaceError
from ..recordings import drop_all
from .launcher import Place
from .pairwise import pairwise_sum
from .patience import RENDEZVOUS, Patience

_FAILURE, _LEFT, _DEVICE = "hpc_wgf/failure", "hpc_wgf/left", "hpc_wgf/device"
_STARTED, _CONNECTED = "hpc_wgf/started", "hpc_wgf/connected"
_CONNECTIONS = 5  # Attempts of gloo to connect with a rank.
_ASKING = 0.05  # Seconds between two looks for others who have not come yet.
_SETTLING = 0.05  # Seconds in which a thread of a closed group gets the interpreter's lock.
_PATIENCE = 5.0  # Seconds in which others read reports, which the process of rank 0 may hold.
_R = TypeVar("_R")


class TorchCommunicator:
    """The `Communicator` of all ranks by the default process group of torch.distributed.

    `place`: that of this process, with the address and port at which the ranks meet. `device`:
    where this rank computes. `patience`: how long it waits for the others.

    Errors: `InputError` where the place has no address or port, the ranks do not meet, or their
    devices differ in kind; `CommunicationError` in every collective after a rank has ended.
    """

    def __init__(
        self, place: Place, device: torch.device, patience: Patience | None = None
    ) -> None:
        self.device = device
        self.rank, self.size = place.rank, place.size
        self.closed = False
        backend = "nccl" if device.type == "cuda" else "gloo"
        self.capturable = backend == "nccl"
        self._place, self._patience = place, patience or Patience()
        self._store = self._met()
        # Who has not started yet is waited for here, and not in a collective, whose patience is
        # that of a long step.
        self._await_all(_STARTED)
        self._agree_on_device()
        # All are there, so that connecting takes no time; gloo waits five times as long for one
        # that has ended meanwhile.
        connecting = timedelta(seconds=self._patience.rendezvous / _CONNECTIONS)
        try:
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=connecting
            )
        except RuntimeError as error:  # DistNetworkError, DistStoreError
            raise MissingRankError(self._apart(_first_line(error))) from error
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=self._patience.collective))
        # A rank that fails from here on would else be mistaken for one that never came.
        self._await_all(_CONNECTED)

    def _met(self) -> Any:
        """The store that rank 0 holds for all, or under torchrun the agent of the first node."""
        address, port = _meeting_point(self._place)
        held = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if self.rank and not self._is_open(address, port):
            raise MissingRankError(
                self._waited("rank 0, which holds the meeting point, to open it")
            )
        try:
            store = dist.TCPStore(  # type: ignore[attr-defined]
                address, port, self.size, self.rank == 0 and not held,
                timeout=timedelta(seconds=self._patience.rendezvous),
                wait_for_workers=False, multi_tenant=not held,
            )  # fmt: skip
        except RuntimeError as error:  # DistNetworkError
            raise InputError(self._apart(_first_line(error))) from error
        # The agent's store outlives ranks that are started again, with all that they have said.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]

    def _is_open(self, address: str, port: int) -> bool:
        """Whether somebody listens there within our patience. The store itself would ask once more
        after its time, and print a trace of its own."""
        end = time.monotonic() + self._patience.rendezvous
        while time.monotonic() < end:
            try:
                left = max(_ASKING, end - time.monotonic())
                socket.create_connection((address, port), timeout=left).close()
            except OSError:  # Refused, as rank 0 is late, or a name that is not known yet.
                time.sleep(_ASKING)
            else:
                return True
        return False

    def _await_all(self, stage: str) -> None:
        """Wait until all ranks have come to this `stage`."""
        try:
            here, end = self._store.add(stage, 1), time.monotonic() + self._patience.rendezvous
            while here < self.size and time.monotonic() < end:
                time.sleep(_ASKING)
                here = self._store.add(stage, 0)
        except RuntimeError as error:  # Rank 0, which holds the store, has ended, and has said why.
            raise InputError(self._apart(_first_line(error))) from error
        if here < self.size:
            missing = f"{self.size - here} of {self.size} ranks, which did not come"
            raise InputError(self._waited(missing))

    def _waited(self, for_whom: str) -> str:
        place, seconds = self._place, self._patience.rendezvous
        return (
            f"rank {self.rank} waited {seconds:g} s at {place.address}, port {place.port}, for "
            f"{for_whom}: start all {self.size} ranks with the same MASTER_ADDR and MASTER_PORT, "
            f"look for messages of those that ended, or set {RENDEZVOUS} to more seconds"
        )

    def _apart(self, cause: str) -> str:
        return (
            f"rank {self.rank} of {self.size} did not meet the others at {self._place.address}, "
            f"port {self._place.port}: {cause} Either another job has that port (set MASTER_PORT "
            "to a free one, the same on all ranks) or a rank has ended before"
        )

    def _agree_on_device(self) -> None:
        """Refuse ranks on CPUs together with ranks on GPUs: gloo and NCCL cannot communicate."""
        mine = self.device.type
        if self.rank == 0:
            self._store.set(_DEVICE, mine)
        try:
            first = self._store.get(_DEVICE).decode()
        except RuntimeError as error:
            raise InputError(self._apart(_first_line(error))) from error
        if first != mine:
            raise PlaceError(
                f"rank {self.rank} runs on {mine}, but rank 0 on {first}: nodes differ in their "
                "GPUs; use --device cpu, or nodes of one kind"
            )

    def sum(self, tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu":
            return pairwise_sum(self, tensor)
        self._collective(dist.all_reduce, tensor)
        return tensor

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        transfers = [dist.P2POp(dist.isend, send, to), dist.P2POp(dist.irecv, receive, source)]
        posted = self._collective(dist.batch_isend_irecv, transfers)

        # gloo's transfers would keep the time that was given for connecting. A wait with a bound
        # blocks the host on a GPU, where NCCL has a watch of its own.
        bound = [] if send.is_cuda else [timedelta(seconds=self._patience.collective)]

        def wait() -> None:
            for transfer in posted:
                self._collective(transfer.wait, *bound)

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
        drop_all()
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


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _meeting_point(place: Place) -> tuple[str, int]:
    if place.address is not None and place.port is not None:
        return place.address, place.port
    missing = [
        name
        for name, value in (("MASTER_ADDR", place.address), ("MASTER_PORT", place.port))
        if value is None
    ]
    raise InputError(
        f"{place.launcher} does not tell where rank 0 of {place.size} can be met: set "
        f"{' and '.join(missing)} to the host of rank 0 and a free port there, the same on "
        "all ranks, or use --comm mpi"
    )
