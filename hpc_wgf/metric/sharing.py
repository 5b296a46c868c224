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
    tells it to all others, the same bits on any number of ranks. Collective."""
    if not shapes:
        return []
    ranks, mine = communicator.size, communicator.rank
    own = [make(k) for k in range(mine, len(shapes), ranks)]
    if ranks == 1:
        return own
    sizes = [[math.prod(shape) for shape in shapes[rank::ranks]] for rank in range(ranks)]
    lengths = [max(1, sum(size)) for size in sizes]  # a rank without any sends a number
    told = torch.zeros(lengths[mine], dtype=torch.float64, device=communicator.device)
    if own:
        torch.cat([part.reshape(-1) for part in own], out=told)
    flat = {mine: told}
    for step in range(1, ranks):
        to, source = (mine + step) % ranks, (mine - step) % ranks
        flat[source] = told.new_empty(lengths[source])
        communicator.exchange(told, to, flat[source], source)()
    parts = {rank: iter(flat[rank].split(sizes[rank] or [1])) for rank in range(ranks)}
    return [next(parts[k % ranks]).view(*shape) for k, shape in enumerate(shapes)]
