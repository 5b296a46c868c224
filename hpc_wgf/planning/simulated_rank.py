"""One rank of many whose other ranks do not exist; what it hands to collectives is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..parallel import LocalCommunicator


class SimulatedRank(LocalCommunicator):
    """Rank 0 of `size` ranks of which the others do not exist.

    Every other rank is taken to hold the same samples: a sum over ranks is `size` times this rank's
    part, and an exchange brings back what was sent. A mean over samples is then that of this rank.
    Where the parts of ranks are unequal, as those of the subsample of a preconditioner, which lie
    on four ranks at most, sums are too large.

    `reduced`, `exchanged`: bytes of each sum and of each exchange, in their order.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.size, self.capturable = size, False
        self.reduced: list[int] = []
        self.exchanged: list[int] = []

    def sum(self, tensor: Tensor) -> Tensor:
        self.reduced.append(tensor.numel() * tensor.element_size())
        return tensor.mul_(self.size)

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        self.exchanged.append(send.numel() * send.element_size())
        return super().exchange(send, to, receive, source)

    def gather(self, item: Any) -> list[Any]:
        return [item] * self.size


class FakeGroupRank(SimulatedRank):
    """A `SimulatedRank` that also calls the collectives of torch, on its fake process group.

    That group accepts the collectives of a job of any size and moves nothing. They are called as
    with NCCL; the results are those of `SimulatedRank`.
    """

    def sum(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor)
        return super().sum(tensor)

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        posted = dist.batch_isend_irecv(
            [dist.P2POp(dist.isend, send, to), dist.P2POp(dist.irecv, receive, source)]
        )
        wait = super().exchange(send, to, receive, source)
        for transfer in posted:
            transfer.wait()
        return wait


@contextmanager
def fake_group(size: int, device: torch.device | str = "cpu") -> Iterator[FakeGroupRank]:
    """Context with rank 0 of a fake process group of `size` ranks, which ends with it."""
    # The import registers the backend "fake" with torch.
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    try:
        yield FakeGroupRank(size, device)
    finally:
        dist.destroy_process_group()
