"""Sums over ranks along a binary tree, by transfers between pairs of ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Exchanging(Protocol):
    """The part of a `Communicator` that `pairwise_sum` needs."""

    rank: int
    """The number of this process."""
    size: int
    """The number of ranks."""

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        """See `Communicator.exchange`."""
        ...


def pairwise_sum(ranks: Exchanging, tensor: Tensor) -> Tensor:
    """Σ over `ranks` of `tensor`, of any shape and strides, written into it and returned.

    All-reduce by recursive doubling: after k rounds a rank holds the sum of the 2ᵏ ranks of its
    subtree. As a + b = b + a, all ranks get the same bits, and for a power of two of ranks the
    order of addition is that of `tree_sum`. Ranks beyond the largest power of two are added to the
    first ones beforehand, and receive the result afterwards.

    Errors: `CommunicationError` where another rank has ended or failed.

    Source: R. Thakur, R. Rabenseifner, W. Gropp, Int. J. High Perform. Comput. Appl. 19 (2005) 49,
    §4.4.
    """
    total = tensor.contiguous()
    other = torch.empty_like(total)

    def swap(partner: int) -> None:
        ranks.exchange(total, partner, other, partner)()

    doubling = 1 << (ranks.size.bit_length() - 1)
    beyond = ranks.rank + doubling < ranks.size
    if ranks.rank >= doubling:
        swap(ranks.rank - doubling)
        swap(ranks.rank - doubling)
        return tensor.copy_(other)
    if beyond:
        swap(ranks.rank + doubling)
        total.add_(other)
    distance = 1
    while distance < doubling:
        swap(ranks.rank ^ distance)
        total.add_(other)
        distance *= 2
    if beyond:
        swap(ranks.rank + doubling)
    return tensor if total is tensor else tensor.copy_(total)
