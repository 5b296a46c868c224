"""Communication between ranks by torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..accounts import waiting
from ..errors import CommunicationError, MissingRankError
from ..recordings import drop_all
from .gpus import Resource, settle
from .launcher import Place
from .meeting import Meeting
from .pairwise import pairwise_sum
from .patience import Patience
from .peer import Process
from .watch import FAILURE, LEFT, Finding, Watch, beat_of, process_of, say

_ABORTED, _CLOSED = "hpc_wgf/left", "hpc_wgf/closed"
_STARTED, _CONNECTED = "hpc_wgf/started", "hpc_wgf/connected"
_CONNECTIONS = 5  # Attempts of gloo to connect with a rank.
_SETTLING = 0.05  # Seconds in which a thread of a closed group gets the interpreter's lock.
_PATIENCE = 5.0  # Seconds in which others read what the process of rank 0 may hold.
_R = TypeVar("_R")


class TorchCommunicator:
    """The `Communicator` of all ranks by the default process group of torch.distributed.

    `place`: that of this process, with the address and port at which the ranks meet. `device`:
    where this rank computes. `patience`: how long it waits for the others. Where a rank is lost
    and this process waits in a call that does not notice, a thread ends it (see `Watch`).

    Errors: `InputError` where the place has no address or port, the ranks do not meet, or their
    devices do not fit (see `refuse_unfit`); `CommunicationError` in every collective after a rank
    has ended.
    """

    def __init__(
        self, place: Place, device: torch.device, patience: Patience | None = None
    ) -> None:
        self.device = device
        self.rank, self.size = place.rank, place.size
        self.closed = False
        self.capturable = device.type == "cuda"
        self._place, self._patience = place, patience or Patience()
        self._meeting = Meeting(place, self._patience)
        self._store = self._meeting.store
        self._speaking, self._aborting = threading.Lock(), threading.Lock()
        self._parts = 0  # collectives begun and ended
        self._introduce()
        self._connect()
        # NCCL's own watch does not see collectives inside a graph, and does not wake the host.
        self._connection_of_watch = self._meeting.another_connection()
        self._watch = Watch(
            self._connection_of_watch, self.rank, self.size, self._patience,
            held=not self._meeting.held, end=self._given_up,
            taken_part=(lambda: self._parts) if self.capturable else None,
        )  # fmt: skip
        self._process = os.getpid()
        atexit.register(self._leave)

    def _introduce(self) -> None:
        """Tell the others who this is, and refuse what does not fit together."""
        self._store.set(f"{_STARTED}/{self.rank}", json.dumps(asdict(Resource.of(self.device))))
        self._store.set(process_of(self.rank), str(Process.own()))
        self._store.set(beat_of(self.rank), "0")
        # Who has not started yet is waited for here, and not in a collective, whose patience is
        # that of a long step.
        self._meeting.await_all(_STARTED)
        found = self._meeting.told([f"{_STARTED}/{rank}" for rank in range(self.size)])
        settle([Resource(**json.loads(each)) for each in found])

    def _connect(self) -> None:
        backend = "nccl" if self.capturable else "gloo"
        # All are there, so that connecting takes no time; gloo waits five times as long for one
        # that has ended meanwhile.
        attempts = 1 if self.capturable else _CONNECTIONS
        connecting = timedelta(seconds=self._patience.rendezvous / attempts)
        try:
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size,
                timeout=connecting, device_id=self.device if self.capturable else None,
            )  # fmt: skip
        except RuntimeError as error:  # DistNetworkError, DistStoreError
            raise MissingRankError(self._meeting.apart(error)) from error
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=self._patience.collective))
        # A rank that fails from here on would else be mistaken for one that never came.
        self._meeting.await_all(_CONNECTED)

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
            first = bool(self._store.compare_set(FAILURE, "", note).decode() == note)
        except RuntimeError:  # The store has gone, and with it whoever could say who is the first.
            return self._speaks_alone()
        return first and self._speaking.acquire(blocking=False)

    def _speaks_alone(self) -> bool:
        """Whether this rank says why it ends, once, where the store has gone: rank 0 was lost, for
        which rank 1 speaks and the first rank of every node, or it had left before."""
        wanted = self._watch.first_has_left or self.rank == 1 or self._place.local_rank == 0
        return wanted and self._speaking.acquire(blocking=False)

    def reported_failure(self, wait: float) -> str | None:
        try:
            deadline = time.monotonic() + wait
            while not self._store.check([FAILURE]):
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.05)
            return str(self._store.get(FAILURE).decode().partition("|")[2])
        except RuntimeError:
            return None

    def _given_up(self, found: Finding) -> None:
        """End this process for what its watch has found."""
        said = found.message
        if said and (self._speaks_alone() if found.store_lost else self.report_failure(said)):
            say(said)
        elif self._speaking.locked():
            return  # The main thread has the word, and ends the process when it has spoken.
        self._abort(1, None if found.store_lost else self._connection_of_watch, found.lost)

    def close(self) -> None:
        self.closed = True
        drop_all()
        self._leave()
        self._release()

    def _leave(self) -> None:
        """Tell the watches of the others that this rank ends as it should; rank 0, whose process
        may hold the store, waits until all have."""
        if self._process != os.getpid():  # A child of this process ends.
            return
        atexit.unregister(self._leave)
        self._watch.stop()
        with suppress(RuntimeError):  # The store's host may have ended.
            self._store.set(beat_of(self.rank), LEFT)
            self._await_others(self._store, _CLOSED, self._store.add(_CLOSED, 1))

    def _await_others(self, store: Any, key: str, number: int) -> None:
        """Rank 0 waits until all ranks have added to the `number` under a key."""
        end = time.monotonic() + _PATIENCE
        while self.rank == 0 and number < self.size and time.monotonic() < end:
            time.sleep(0.01)
            number = store.add(key, 0)

    @staticmethod
    def _release() -> None:
        dist.destroy_process_group()
        # A group kept alive by a reference cycle has threads, and one that frees its last tensor
        # while the interpreter ends would abort the process. Collecting the group joins them.
        gc.collect()
        time.sleep(_SETTLING)

    def abort(self, status: int) -> NoReturn:
        """End this process. The collectives of other ranks fail, or their watches or the launcher
        end them."""
        self._abort(status, self._store, 0)

    def _abort(self, status: int, store: Any | None, lost: int) -> NoReturn:
        """`store`: a connection that no other thread uses; None where it has gone. `lost`: ranks
        that will not come here any more."""
        self._aborting.acquire()  # For ever: another thread that comes here waits for the end.
        sys.stdout.flush()
        sys.stderr.flush()
        if store is not None:
            with suppress(RuntimeError):  # The store's host may have ended.
                left = store.add(_ABORTED, 1 + lost)
                if self.rank == 0 and left < self.size:
                    threading.Thread(target=self._release, daemon=True).start()  # Wakes the others.
                self._await_others(store, _ABORTED, left)
        os._exit(status)  # A clean-up would wait for the others.

    def _collective(self, call: Callable[..., _R], *arguments: Any) -> _R:
        self._parts += 1
        try:
            with waiting():
                return call(*arguments)
        except RuntimeError as error:  # torch raises DistBackendError, a RuntimeError
            raise CommunicationError(f"a collective failed: {error}") from error
        finally:
            self._parts += 1
