"""Rows on their way to the disk: a thread of each rank writes them while the run goes on, and they
count once all ranks have written theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from ..accounts import Part, aside, current
from ..parallel import Communicator, agreed

Work = Callable[[], None]
MOST_WAITING = 2
"""Rows on their way at once: a further one waits until the first of them counts."""


@dataclass
class _Row:
    """What is done for a row on this rank at present, and what comes after it."""

    doing: Future[None]
    publish: Work
    publishing: bool = False


class RowPipeline:
    """Does the work of rows on one thread, in their order.

    Of each row first `write` on all ranks; then, when every rank has done so, `publish` on rank 0.
    All methods but `close` are collective. Errors: what either of them raises, within `explained`,
    on all ranks alike (see `agreed`), at the next call; afterwards nothing more is written.
    """

    def __init__(self, communicator: Communicator, explained: AbstractContextManager[None]) -> None:
        self._communicator, self._explained = communicator, explained
        self._thread = ThreadPoolExecutor(1, "hpc-wgf-rows")
        self._rows: deque[_Row] = deque()
        self._failure: BaseException | None = None
        self._closed = False
        self._account = current()

    def make_room(self) -> None:
        """Waits until a further row may be added."""
        self.settle(at_most=MOST_WAITING - 1)

    def add(self, write: Work, publish: Work) -> None:
        """A further row, for which there is room."""
        self._rows.append(_Row(self._submitted(write), publish))

    def settle(self, *, at_most: int = MOST_WAITING) -> None:
        """Sees what ranks have done, and waits until `at_most` rows do not count yet."""
        while self._rows and not self._closed:
            first = [row.doing for row in self._rows][: max(0, len(self._rows) - at_most)]
            wait(first)
            self._see()
            if len(self._rows) <= at_most:
                return

    def close(self) -> None:
        """Ends the thread after what it is at; rows that wait are lost."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _see(self) -> None:
        """What is done on every rank goes on; decided on sums, alike on all ranks."""
        done = [float(row.doing.done()) for row in self._rows]
        failed = float(self._failure is not None)  # looked at last: what failed is done as well
        seen = torch.tensor([failed, *done], device=self._communicator.device)
        failures, *ranks = self._communicator.sum(seen).tolist()
        if failures:
            # No rank writes any more once the first of them leaves, and may clean up.
            self.close()
            with agreed(self._communicator), self._explained:
                if self._failure is not None:
                    raise self._failure
        for row, count in zip(tuple(self._rows), ranks, strict=True):
            if count < self._communicator.size:
                return
            if row.publishing:
                self._rows.popleft()
            else:
                row.publishing = True
                mine = self._communicator.rank == 0
                row.doing = self._submitted(row.publish if mine else _nothing)

    def _submitted(self, work: Work) -> Future[None]:
        return self._thread.submit(self._unless_failed, work)

    def _unless_failed(self, work: Work) -> None:
        """What comes after a row that was not written must not be done."""
        if self._failure is None:
            try:
                with aside(self._account, Part.OUTPUT):
                    work()
            except BaseException as error:
                self._failure = error


def _nothing() -> None:
    return
