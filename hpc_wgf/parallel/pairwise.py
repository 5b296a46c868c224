"""Sums over ranks along the binary tree of `tree_sum`, made of transfers between pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Exchanging(Protocol):
    """The part of a communicator that the sum needs."""

    rank: int
    size: int

    def exchange(self, send: Tensor, to: int, receive: Tensor, source: int) -> Callable[[], None]:
        """As `Communicator.exchange`."""
        ...


def pairwise_sum(ranks: Exchanging, tensor: Tensor) -> Tensor:
    """Σ over `ranks`, written into `tensor` (any shape and strides) and returned.

    All-reduce by recursive doubling: after k rounds a rank holds the sum of the 2ᵏ ranks of its
    subtree. As a + b = b + a, all ranks get the same bits, and the order of addition is that of
    one process going up the same binary tree (R. Thakur, R. Rabenseifner, W. Gropp, Int. J. High
    Perform. Comput. Appl. 19 (2005) 49, §4.4). Ranks beyond the largest power of two are added
    to the first ones before and told the result after.
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
