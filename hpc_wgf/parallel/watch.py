"""A thread that ends this process when the run has failed elsewhere and its main thread, blocked
in a call that never returns, cannot notice.

NCCL does not raise when a rank is lost: the others wait in whatever reads a result. Each rank beats
once a second, by counting up a number in the store at which the ranks have met, looks for a report
of a failure there, and watches over the next rank: the last watches over the first.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..log import LOG
from .patience import COLLECTIVE, HEARTBEAT, Patience
from .peer import Peer, Process

FAILURE = "hpc_wgf/failure"
"""Where the first failure is reported in the store."""
LEFT = "left"
"""The last beat of a rank that has ended as it should."""
_EVERY = 1.0  # seconds between two looks
_GRACE = 1  # looks in which the main thread may end by itself once a failure has been reported
_PACKAGE = __name__.partition(".")[0]


def beat_of(rank: int) -> str:
    """Where a rank's beats are in the store."""
    return f"hpc_wgf/beat/{rank}"


def process_of(rank: int) -> str:
    """Where the store says in which process a rank runs."""
    return f"hpc_wgf/process/{rank}"


def say(message: str) -> None:
    """Say on standard error and in the log why a run ends."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    LOG.error(f"error: {message}")


@dataclass(frozen=True)
class Finding:
    """Why this process has to end."""

    message: str | None
    """What is to be said; None where another rank has said it, or will."""
    lost: int = 0
    """Ranks that have ended without leaving."""
    store_lost: bool = False
    """Whether nobody can be told, as the store has gone."""


class Watch:
    """The thread, which begins when it is made, of a rank that has one after it.

    `store`: a connection of its own to the store. `held`: whether rank 0 holds it. `end`: called
    once, in the thread, when the process has to end. `taken_part`: how many collectives this rank
    has begun and ended; None where one that does not end raises by itself, as gloo's do.
    """

    def __init__(
        self, store: Any, rank: int, size: int, patience: Patience, *, held: bool,
        end: Callable[[Finding], object], taken_part: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        self._store, self._rank, self._next = store, rank, (rank + 1) % size
        self._patience, self._end, self._taken_part = patience, end, taken_part
        self._peer, self._first = (
            Peer(Process.read(store.get(process_of(other)).decode())) for other in (self._next, 0)
        )
        self._held = held
        self._owner = threading.get_ident()
        self._beats = self._noted = self._unheard = self._idle = 0
        self._heard, self._parts = "", -1
        self.first_has_left = False
        """Whether rank 0, which may hold the store, has ended as it should."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpc_wgf watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, from any other."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * _EVERY)
            self._peer.close()
            self._first.close()

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY):
            try:
                # torch would print a trace of the store that it cannot reach.
                gone = self._held and self._rank != 0 and self._first.has_ended()
                found = self._store_lost() if gone else self._look()
            except RuntimeError:  # torch's DistNetworkError and DistStoreError
                found = self._store_lost()
            if self._stopped.is_set():  # The run has ended meanwhile.
                return
            if self.first_has_left and found is not None and found.store_lost:
                return
            if found is not None:
                self._end(found)
                return

    def _store_lost(self) -> Finding:
        return Finding(
            f"rank {self._rank} has lost the place where the ranks met: rank 0, or the launcher "
            "that held it, has ended without saying why, as by a kill",
            store_lost=True,
        )

    def _look(self) -> Finding | None:
        self._beats += 1
        self._store.set(beat_of(self._rank), str(self._beats))
        if self._store.check([FAILURE]):
            self._noted += 1
            return Finding(None) if self._noted > _GRACE else None
        keys = [beat_of(0), beat_of(self._next)]
        first, following = (each.decode() for each in self._store.multi_get(keys))
        self.first_has_left |= first == LEFT
        if following == LEFT:
            return self._hanging()
        return self._lost(following) or self._hanging()

    def _lost(self, beat: str) -> Finding | None:
        """Whether the next rank has ended, or has not been heard of for too long. Looks are
        counted and not seconds: a job that was suspended as a whole has lost nobody."""
        where = f"rank {self._next} ({self._peer.process.host}, "
        where += f"process {self._peer.process.number})"
        if self._peer.has_ended():
            if self._store.get(beat_of(self._next)).decode() == LEFT:  # since the last look
                return None
            return Finding(
                f"{where} has ended without saying why, as by a kill or for want of memory", lost=1
            )
        self._unheard = 0 if beat != self._heard else self._unheard + 1
        self._heard = beat
        if self._unheard * _EVERY < self._patience.heartbeat:
            return None
        return Finding(
            f"{where} has not been heard of for {self._patience.heartbeat:g} s ({HEARTBEAT}): its "
            "node has gone, or it is stuck",
            lost=1,
        )

    def _hanging(self) -> Finding | None:
        """Whether this rank has taken part in nothing for too long, while it was at work."""
        if self._taken_part is None:
            return None
        before, self._parts = self._parts, self._taken_part()
        place = _at_work(self._owner)
        self._idle = self._idle + 1 if self._parts == before and place is not None else 0
        if self._idle * _EVERY < self._patience.collective:
            return None
        return Finding(
            f"rank {self._rank} has met no other rank for {self._patience.collective:g} s "
            f"({COLLECTIVE}) and waits at {place}: another rank hangs, or a step takes longer"
        )


def _at_work(thread: int) -> str | None:
    """Where a thread is, if it is somewhere within this package; else None."""
    frame = sys._current_frames().get(thread)
    place = None if frame is None else f"{frame.f_code.co_filename}, line {frame.f_lineno}"
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE:
            return place
        frame = frame.f_back
    return None
