"""One rank of many, alone: what it hands to collectives is counted, and stands for all."""

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

    Its shard stands for that of every rank: a sum is `size` times what it holds, an exchange brings
    back what was sent. Means over samples so stay means. Where ranks hold unequal parts (the
    subsample of a preconditioner, which lies on four of them) the sum is too large by their ratio.

    `reduced`, `exchanged`: bytes of every sum and of every exchange, in their order.
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
    """The same on torch's fake process group, which accepts the collectives of a job of any size
    and moves nothing: they are called as on NCCL, and then the rank stands for all as above."""

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
    """Rank 0 of a fake process group of `size` ranks."""
    # The import makes the backend "fake" known to torch.
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    try:
        yield FakeGroupRank(size, device)
    finally:
        dist.destroy_process_group()
