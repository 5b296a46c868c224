"""Sums over all pairs of particles on P ranks: blocks of particles travel from rank to rank.

Each rank keeps its own particles and receives those of every other rank once, in P − 1 transfers. A
transfer is started before the computation with the previous block, and runs during it. Memory is
O(n/P).

If P is a power of two, the k-th transfer is an exchange with rank r ⊕ k ⊕ (k−1), ⊕ the bitwise
exclusive or, so that rank r receives the blocks r ⊕ 1, r ⊕ 2, …. These are complete subtrees of the
binary tree along which sums are taken. If, moreover, the chunks do not depend on the number of
ranks, as those of a step's sample on a CPU, the sums are equal to the bit for P = 1, 2, 4, …. For
other P, blocks are passed on round a ring.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..choices import PairSums
from ..parallel import TreeSum
from .keops import keops_sums
from .kernels import Kernel
from .particles import Particles
from .tiles import SummedKernel, pair_sums


def ring_sums(
    kernel: SummedKernel,
    particles: Particles,
    *,
    self_pairs: bool,
    potential: bool,
    by: PairSums = PairSums.TILES,
) -> list[Tensor]:
    """Σ_y ∇J(x−y) over the particles y of all ranks, (n_chunk, d) for each chunk x of this rank.

    With `potential`, ΣJ(x−y) is appended as a last column, (n_chunk, d + 1). `self_pairs`: whether
    y = x is included. `by`: tiles or KeOps. Collective."""
    if by is PairSums.KEOPS:
        assert isinstance(kernel, Kernel)
        return _by_keops(kernel, particles, self_pairs, potential)
    mine = particles.communicator.rank
    sums = [TreeSum() for _ in particles.chunks]
    for owner, block in _travelling(particles):
        sources = block.split(list(particles.sizes[owner]))
        for k, x in enumerate(particles.chunks):
            for number, y in enumerate(sources):
                same = not self_pairs and owner == mine and number == k
                sums[k].add(pair_sums(kernel, x, y, same=same, potential=potential))
    return [part.total() for part in sums]


def _by_keops(
    kernel: Kernel, particles: Particles, self_pairs: bool, potential: bool
) -> list[Tensor]:
    """The same for all chunks x at once, as a call of KeOps costs as much as many pairs, and the
    sum for one x does not depend on which others there are."""
    mine, lengths = particles.communicator.rank, [len(x) for x in particles.chunks]
    x, sums = torch.cat(list(particles.chunks)), TreeSum()
    for owner, block in _travelling(particles):
        begun = 0
        for y in block.split(list(particles.sizes[owner])):
            own = slice(begun, begun + len(y)) if owner == mine and not self_pairs else slice(0)
            sums.add(keops_sums(kernel, x, y, own=own, potential=potential))
            begun += len(y)
    return list(sums.total().split(lengths))


def _travelling(particles: Particles) -> Iterator[tuple[int, Tensor]]:
    """The rank and the particles of every block, that of this rank first. A block is valid until
    the next one is asked for."""
    communicator = particles.communicator
    rank, size = communicator.rank, communicator.size
    counts = [sum(lengths) for lengths in particles.sizes]
    held = torch.cat(list(particles.chunks))
    # Blocks differ in length. Buffers have the length of the longest and are sent as a whole.
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
    """For a transfer: the rank to send to, the rank to receive from, and the owner of the particles
    that arrive."""
    if size & (size - 1) == 0:
        partner = rank ^ turn ^ (turn - 1)
        return partner, partner, rank ^ turn
    return (rank + 1) % size, (rank - 1) % size, (rank - turn) % size
