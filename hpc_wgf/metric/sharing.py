"""Matrices that are made once, each by one rank, and told to all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..parallel import Communicator


def shared_over_ranks(
    communicator: Communicator, shapes: Sequence[Sequence[int]], make: Callable[[int], Tensor]
) -> list[Tensor]:
    """`make(k)`, of the k-th of the `shapes` in float64, for every k: rank k mod P makes it, and
    one sum over the ranks tells it to all, the same bits on any number of ranks. Collective."""
    sizes = [math.prod(shape) for shape in shapes]
    if not sizes:
        return []
    if communicator.size == 1:
        return [make(k).add_(0.0) for k in range(len(shapes))]  # −0 is 0 in a sum, too
    flat = torch.zeros(sum(sizes), dtype=torch.float64, device=communicator.device)
    parts = [part.view(*shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
    for k in range(communicator.rank, len(parts), communicator.size):
        parts[k].copy_(make(k))
    communicator.sum(flat)
    return parts
