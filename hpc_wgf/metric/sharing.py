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
    tells it to all others, the same bits on any number of ranks; a single one all make. Collective.
    """
    ranks, mine = communicator.size, communicator.rank
    if ranks == 1 or len(shapes) < 2:
        return [make(k) for k in range(len(shapes))]
    sizes = [[math.prod(shape) for shape in shapes[rank::ranks]] for rank in range(ranks)]
    longest = max(map(sum, sizes))  # of the messages, which are of one length
    told = torch.zeros(longest, dtype=torch.float64, device=communicator.device)
    places = iter(told.split([*sizes[mine], longest - sum(sizes[mine])]))
    for k in range(mine, len(shapes), ranks):
        next(places).copy_(make(k).reshape(-1))
    flat = {mine: told}
    for step in range(1, ranks):
        to, source = (mine + step) % ranks, (mine - step) % ranks
        flat[source] = torch.empty_like(told)
        communicator.exchange(told, to, flat[source], source)()
    parts = [
        iter(flat[rank].split([*size, longest - sum(size)])) for rank, size in enumerate(sizes)
    ]
    return [next(parts[k % ranks]).view(*shape) for k, shape in enumerate(shapes)]
