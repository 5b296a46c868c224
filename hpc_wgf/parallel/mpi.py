"""Communication between ranks by MPI, through mpi4py."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..accounts import waiting
from ..errors import CommunicationError
from .mpi_library import is_cuda_aware, load
from .pairwise import pairwise_sum
from .patience import COLLECTIVE, Patience

_SPIN = 200  # Tests of a transfer, about 0.1 ms, before reports of failures are looked for.
_GRACE = 0.5  # Seconds in which the reports of ranks that fail at the same time arrive.
_PATIENCE = 5.0  # Seconds in which the rank that has reported first ends all others.
_DELIVERY = 0.2  # Seconds in which mpirun passes on what that rank has printed.


class MPICommunicator:
    """The `Communicator` of all ranks of MPI_COMM_WORLD.

    Tensors are sent as bytes, and added in torch by `pairwise_sum`: MPI datatypes are not used,
    as some libraries lack one (bfloat16), or reduce in the order of memory whatever the strides.
    No call blocks inside the library, so that every wait ends once another rank has reported a
    failure, or has not come within the `patience` of a collective. If a rank is killed, mpirun ends
    the others, and it starts all or none.

    Errors: `InputError` where mpi4py or an MPI library is missing; `CommunicationError` in every
    collective after another rank has reported a failure.
    """

    capturable = False

    def __init__(self, device: torch.device, patience: Patience | None = None) -> None:
        self._mpi = load()
        self._patience = patience or Patience()
        self.device = device
        self.closed = False
        # With communicators of our own, our messages cannot be mistaken for those of a user's code.
        self._ranks = self._mpi.COMM_WORLD.Dup()
        self._failures = self._mpi.COMM_WORLD.Dup()
        self.rank, self.size = self._ranks.Get_rank(), self._ranks.Get_size()
        self._on_device = device.type == "cuda" and is_cuda_aware(self._mpi)
        self._notes: dict[int, str] = {}  # reports of failures, by rank
        self._kept: list[object] = []  # buffers that the library may still read or write

    def sum(self, tensor: Tensor) -> Tensor:
        if self._reachable(tensor):
            return pairwise_sum(self, tensor)
        return tensor.copy_(pairwise_sum(self, tensor.cpu()))  # Staged once, not in every round.

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        outgoing, incoming = send.detach().contiguous(), receive
        if not self._reachable(send):
            outgoing = outgoing.cpu()
        if not (self._reachable(receive) and receive.is_contiguous()):
            near = receive.device if self._on_device else "cpu"
            incoming = torch.empty(receive.shape, dtype=receive.dtype, device=near)
        if outgoing.is_cuda or incoming.is_cuda:
            torch.cuda.current_stream(self.device).synchronize()  # MPI does not know streams.
        requests = [
            self._ranks.Irecv(self._bytes(incoming), source),
            self._ranks.Isend(self._bytes(outgoing), to),
        ]

        def wait() -> None:
            self._complete(requests, outgoing, incoming)
            if incoming is not receive:
                receive.copy_(incoming)

        return wait

    def _reachable(self, tensor: Tensor) -> bool:
        """Whether the library can access the memory of `tensor`; else the host keeps a copy."""
        return tensor.device.type == "cpu" or self._on_device

    def _bytes(self, tensor: Tensor) -> list[Any]:
        flat = tensor.detach().reshape(-1).view(torch.uint8)
        return [flat if flat.is_cuda else flat.numpy(), self._mpi.BYTE]

    def gather(self, item: Any) -> list[Any]:
        mine = np.frombuffer(pickle.dumps(item), np.uint8)
        sizes = np.empty(self.size, np.int64)
        length = np.array([mine.size])
        self._complete([self._ranks.Iallgather(length, sizes)], length, sizes)
        everything = np.empty(sizes.sum(), np.uint8)
        into = [everything, (sizes, np.cumsum(sizes) - sizes), self._mpi.BYTE]
        self._complete([self._ranks.Iallgatherv([mine, self._mpi.BYTE], into)], mine, everything)
        return [
            pickle.loads(part.tobytes()) for part in np.split(everything, np.cumsum(sizes)[:-1])
        ]

    def _complete(self, requests: list[Any], *buffers: object) -> None:
        """Wait for `requests`, which read and write `buffers`.

        Errors: `CommunicationError` where a request fails, another rank reports a failure, or one
        does not come.
        """
        with waiting():
            self._await(requests, *buffers)

    def _await(self, requests: list[Any], *buffers: object) -> None:
        tests, end = 0, 0.0
        try:
            while not self._mpi.Request.Testall(requests):
                tests += 1
                if tests > _SPIN:
                    end = end or time.monotonic() + self._patience.collective
                    if self._found():
                        raise CommunicationError("another rank has failed")
                    if time.monotonic() > end:
                        raise CommunicationError(
                            f"another rank did not come within {self._patience.collective:g} s "
                            f"({COLLECTIVE})"
                        )
                    time.sleep(0)  # Lets another rank run on the same core.
        except (CommunicationError, self._mpi.Exception) as error:
            self._kept += [requests, *buffers]
            raise CommunicationError(f"a collective failed: {error}") from error

    def report_failure(self, message: str) -> bool:
        """See `Communicator`. Of ranks that report at the same time the lowest is the first."""
        if self._found():
            return False
        note = np.frombuffer(message.encode() or b" ", np.uint8)
        others = [rank for rank in range(self.size) if rank != self.rank]
        sent = [self._failures.Isend([note, self._mpi.BYTE], rank) for rank in others]
        self._kept += [sent, note]
        end = time.monotonic() + _GRACE
        while others and time.monotonic() < end:
            self._found()
            time.sleep(0.01)
        first = min(self._notes, default=self.rank) >= self.rank
        if first:
            self._notes = {self.rank: message}
        return first

    def reported_failure(self, wait: float) -> str | None:
        end = time.monotonic() + wait
        while not self._found() and time.monotonic() < end:
            time.sleep(0.01)
        return self._notes[min(self._notes)] if self._notes else None

    def _found(self) -> bool:
        """Receive the reports of failures that have arrived, and return whether there is any."""
        status = self._mpi.Status()
        while self._failures.Iprobe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status):
            note = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
            self._failures.Recv([note, self._mpi.BYTE], status.Get_source())
            self._notes[status.Get_source()] = note.tobytes().decode(errors="replace")
        return bool(self._notes)

    def close(self) -> None:
        self.closed = True
        self._failures.Free()
        self._ranks.Free()

    def abort(self, status: int) -> NoReturn:
        """End all ranks. Where another rank has reported first, wait to be ended by it."""
        sys.stdout.flush()
        sys.stderr.flush()
        leaves_the_word = self._notes and self.rank not in self._notes
        # Wait, as Open MPI's own message could otherwise come in the middle of ours
        # (openpmix/prrte#1905).
        time.sleep(_PATIENCE if leaves_the_word else _DELIVERY)
        self._mpi.COMM_WORLD.Abort(status)
        raise SystemExit(status)
