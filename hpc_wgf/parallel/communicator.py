"""Communication between the ranks of a run, and its trivial case of one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from ..errors import InputError, RunError, describe


class Communicator(Protocol):
    """The ranks 0, …, size − 1 of a run, which call the same collectives in the same order.

    `sum`, `exchange` and `gather` are collective, and raise `CommunicationError` when another rank
    has ended or failed.
    """

    rank: int
    """The number of this process."""
    size: int
    """The number of ranks."""
    device: torch.device
    """Where this rank computes: the CPU, or a GPU."""
    capturable: bool
    """Whether `sum` can be recorded in a CUDA graph."""

    def sum(self, tensor: Tensor) -> Tensor:
        """Σ over ranks of `tensor`, written into it and returned; the same bits on every rank.

        On CPUs and for a power of two of ranks, ranks are added along a binary tree, as are the
        chunks of one rank by `tree_sum` (see `pairwise_sum`).
        """
        ...

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        """Begin to send `send` to rank `to`, and to receive rank `source`'s tensor in `receive`.

        The function that is returned waits for both transfers. Until it has been called, neither
        tensor may be used.
        """
        ...

    def gather(self, item: Any) -> list[Any]:
        """The `item` of every rank, in the order of ranks.

        Items of any type that can be pickled; slow, and therefore for set-up and failures only.
        """
        ...

    def report_failure(self, message: str) -> bool:
        """Report a failure of this rank to all others; not collective.

        Returns whether it is the first report of all ranks.
        """
        ...

    def reported_failure(self, wait: float) -> str | None:
        """The message of the first failure that any rank has reported.

        Waits for one for at most `wait` seconds, and returns None if there is none.
        """
        ...

    def close(self) -> None:
        """Release the connection to the other ranks, at the end of a run without failure."""
        ...

    def abort(self, status: int) -> NoReturn:
        """End this process with the exit status `status` after a failure.

        The other ranks, if they do not notice the failure by themselves, are ended too.
        """
        ...


class LocalCommunicator:
    """A single process, for which every collective is the identity."""

    rank = 0
    size = 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.capturable = self.device.type == "cuda"

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        receive.copy_(send)
        return lambda: None

    def gather(self, item: Any) -> list[Any]:
        return [item]

    def report_failure(self, message: str) -> bool:
        return True

    def reported_failure(self, wait: float) -> str | None:
        return None

    def close(self) -> None:
        return

    def abort(self, status: int) -> NoReturn:
        raise SystemExit(status)


class agreed:
    """A context in which an exception on any rank becomes an exception on all ranks.

    It is for set-up code that may fail on some ranks only, as where a file is missing on one node:
    the other ranks would wait for ever in their next collective. Leaving the context is collective.

    Errors: where every rank has wrong input, or there is only one rank, the rank's own exception;
    else on every rank the message of the first rank that failed, as `InputError` where it was one,
    and as `RunError` otherwise.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, Exception):
            return
        wrong_input = isinstance(error, InputError)
        mine = None if error is None else (wrong_input, describe(error))
        reports = self._communicator.gather(mine)
        failed = [(rank, item) for rank, item in enumerate(reports) if item is not None]
        if not failed:
            return
        rank, (is_input, message) = failed[0]
        who, everywhere = f"rank {rank}", len(failed) == self._communicator.size
        if everywhere and (is_input or len(failed) == 1):
            return  # Where all make the same mistake, the original exception says it best.
        if everywhere:
            who = f"all {len(failed)} ranks"
        raise (InputError if is_input else RunError)(f"{who}: {message}") from error
