"""Ranks by MPI, through mpi4py."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..errors import CommunicationError
from .mpi_library import is_cuda_aware, load
from .pairwise import pairwise_sum

_SPIN = 200  # tests of a transfer, some 0.1 ms, before a look at the failures
_GRACE = 0.5  # seconds in which the notes of ranks that fail at the same time arrive
_PATIENCE = 5.0  # seconds that a silent rank leaves the speaking one
_DELIVERY = 0.2  # seconds in which mpirun passes on what the speaking rank said


class MPICommunicator:
    """All ranks of MPI_COMM_WORLD.

    Tensors travel as bytes, and `pairwise_sum` adds them in torch: no MPI datatype is involved,
    which some libraries lack (bfloat16) or reduce in memory order whatever the strides. No call
    blocks inside the library, so that every wait ends once another rank has reported a failure.
    Errors: `InputError` where mpi4py is missing; `CommunicationError` from every collective after
    such a report. Of a rank that is killed, mpirun learns first, and ends the others.
    """

    capturable = False

    def __init__(self, device: torch.device) -> None:
        self._mpi = load()
        self.device = device
        self.closed = False
        # Communicators of our own: our messages never meet those of a user's code.
        self._ranks = self._mpi.COMM_WORLD.Dup()
        self._failures = self._mpi.COMM_WORLD.Dup()
        self.rank, self.size = self._ranks.Get_rank(), self._ranks.Get_size()
        self._on_device = device.type == "cuda" and is_cuda_aware(self._mpi)
        self._notes: dict[int, str] = {}  # by rank
        self._kept: list[object] = []  # buffers the library may still read or write

    def sum(self, tensor: Tensor) -> Tensor:
        if self._reachable(tensor):
            return pairwise_sum(self, tensor)
        return tensor.copy_(pairwise_sum(self, tensor.cpu()))  # staged once, not in every round

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        outgoing, incoming = send.detach().contiguous(), receive
        if not self._reachable(send):
            outgoing = outgoing.cpu()
        if not (self._reachable(receive) and receive.is_contiguous()):
            near = receive.device if self._on_device else "cpu"
            incoming = torch.empty(receive.shape, dtype=receive.dtype, device=near)
        if outgoing.is_cuda or incoming.is_cuda:
            torch.cuda.current_stream(self.device).synchronize()  # MPI knows nothing of streams
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
        """Whether the library can read the memory of `tensor`; else it is staged on the host."""
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
        """Wait for `requests`, which read and write `buffers`, or for a failure."""
        tests = 0
        try:
            while not self._mpi.Request.Testall(requests):
                tests += 1
                if tests > _SPIN:
                    if self._found():
                        raise CommunicationError("another rank has failed")
                    time.sleep(0)  # lets another rank run where there are more ranks than cores
        except (CommunicationError, self._mpi.Exception) as error:
            self._kept += [requests, *buffers]
            raise CommunicationError(f"a collective failed: {error}") from error

    def report_failure(self, message: str) -> bool:
        """As the protocol says; of ranks that report at the same time the lowest is the first."""
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
        """Take in the notes that have arrived; whether there is one."""
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
        """Ends all ranks. One that leaves the word to another waits to be ended by it."""
        sys.stdout.flush()
        sys.stderr.flush()
        leaves_the_word = self._notes and self.rank not in self._notes
        # Open MPI's banner, were it first, would run into our message (openpmix/prrte#1905).
        time.sleep(_PATIENCE if leaves_the_word else _DELIVERY)
        self._mpi.COMM_WORLD.Abort(status)
        raise SystemExit(status)
