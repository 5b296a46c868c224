"""All pairs over all ranks: blocks of particles travel while the ranks compute with them.

Each rank keeps its own particles and sees those of every other once, in size − 1 transfers; the
next is posted before the current block is computed with. Memory is O(n/P).

On a power of two of ranks P the k-th transfer is a swap with rank ⊕ k ⊕ (k−1), so that rank r
meets the blocks r, r⊕1, r⊕2, …: complete subtrees of the tree of sums one after the other. Where
their chunks are the same on any number of ranks, as a step's are, forces then are the same to the
bit. Other numbers of ranks shift round a plain ring.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..parallel import TreeSum
from .kernels import Kernel
from .particles import Particles
from .tiles import pair_sums


def ring_sums(
    kernel: Kernel, particles: Particles, *, self_pairs: bool, potential: bool
) -> list[Tensor]:
    """For each chunk of this rank the sums of ∇J (and J) over the particles of all ranks, as
    `pair_sums` has them."""
    mine = particles.communicator.rank
    sums = [TreeSum() for _ in particles.chunks]
    for owner, block in _travelling(particles):
        sources = block.split(list(particles.sizes[owner]))
        for k, x in enumerate(particles.chunks):
            for number, y in enumerate(sources):
                same = not self_pairs and owner == mine and number == k
                sums[k].add(pair_sums(kernel, x, y, same=same, potential=potential))
    return [part.total() for part in sums]


def _travelling(particles: Particles) -> Iterator[tuple[int, Tensor]]:
    """(owner, its particles) for every rank, one's own first."""
    communicator = particles.communicator
    rank, size = communicator.rank, communicator.size
    counts = [sum(lengths) for lengths in particles.sizes]
    held = torch.cat(list(particles.chunks))
    # Blocks differ in length: buffers hold the longest, and all of it travels.
    held = torch.cat([held, held.new_zeros(max(counts) - len(held), held.shape[1])])
    arriving = torch.empty_like(held)
    owner = rank
    for turn in range(1, size + 1):
        wait = None
        if turn < size:
            to, source, following = _partners(rank, size, turn)
            wait = communicator.exchange(held, to, arriving, source)
        yield owner, held[: counts[owner]]
        if wait is not None:
            wait()
            held, arriving = arriving, held
            owner = following


def _partners(rank: int, size: int, turn: int) -> tuple[int, int, int]:
    """Whom to send to, whom to receive from, and whose particles then arrive."""
    if size & (size - 1) == 0:
        partner = rank ^ turn ^ (turn - 1)
        return partner, partner, rank ^ turn
    return (rank + 1) % size, (rank - 1) % size, (rank - turn) % size
