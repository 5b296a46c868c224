"""What the numerics ask of a set of ranks, and the single-process answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from ..errors import InputError, RunError


class Communicator(Protocol):
    """Ranks 0 … size−1 that call the same collectives in the same order.

    Collectives raise `CommunicationError` when another rank is gone.
    """

    rank: int
    size: int
    device: torch.device
    capturable: bool
    """Whether `sum` can be recorded in a CUDA graph."""

    def sum(self, tensor: Tensor) -> Tensor:
        """Σ over ranks, written into `tensor` and returned; the same bits on every rank.

        On the CPU and a power of two of ranks the sum goes up a binary tree of the ranks, as
        `tree_sum` does within one (see `pairwise_sum`)."""
        ...

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        """Post the transfer of `send` to rank `to` and of rank `source`'s tensor into `receive`;
        the function that is returned waits for both. Until then neither may be touched."""
        ...

    def gather(self, item: Any) -> list[Any]:
        """The picklable `item` of every rank, by rank. Slow: for set-up and failure only."""
        ...

    def report_failure(self, message: str) -> bool:
        """Leave `message` where the other ranks find it when their collectives break; True if
        this report was the first of all ranks."""
        ...

    def reported_failure(self, wait: float) -> str | None:
        """The first failure reported by any rank, waiting up to `wait` seconds for one."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...

    def abort(self, status: int) -> NoReturn:
        """End this process with `status` after a failure, without waiting for the other ranks,
        and those too where they would not find out by themselves."""
        ...


class LocalCommunicator:
    """One process: every collective is the identity."""

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
    """Context in which an exception on any rank becomes the same exception on all.

    For set-up code that may fail on some ranks only (a missing file on one node): without
    it, the healthy ranks would wait for ever in their next collective.
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
            return  # the same mistake on all: the original exception says it best
        if everywhere:
            who = f"all {len(failed)} ranks"
        raise (InputError if is_input else RunError)(f"{who}: {message}") from error


def describe(error: BaseException) -> str:
    """`message` of our own errors; `Type: message` of others, whose type is half the cause."""
    text = str(error)
    return text if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {text}"
