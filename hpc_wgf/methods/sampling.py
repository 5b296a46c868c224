"""Samples of the start density: those of a step, and the fixed ones on which a run is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..parallel import Communicator, Purpose, SampleBlocks
from ..problems import Density

_CPU_LEAF, _GPU_LEAF = 2048, 65536  # samples that are pushed together, at most


@dataclass(frozen=True)
class Reference:
    """Samples z of λ with log λ(z) and ∇ log λ(z): one leaf of a rank's samples."""

    z: Tensor
    log_density: Tensor
    score: Tensor


@dataclass(frozen=True)
class Samples:
    """This rank's leaves of one sample of λ, and for every rank the lengths of its leaves.
    `step`: whose sample it is."""

    leaves: Sequence[Reference]
    sizes: Sequence[Sequence[int]]
    step: int = 0

    @property
    def total(self) -> int:
        """n, the samples of all ranks."""
        return sum(map(sum, self.sizes))

    @property
    def points(self) -> list[Tensor]:
        """z of every leaf of this rank, (n_leaf, d)."""
        return [leaf.z for leaf in self.leaves]


@dataclass(frozen=True)
class Evaluation:
    """The evaluation sample: its blocks, their shards in the store, and this rank's samples.

    `span`: the numbers of this rank's samples among all.
    """

    blocks: SampleBlocks
    shards: int
    span: slice
    samples: Samples

    @property
    def z(self) -> Tensor:
        """This rank's samples, (n_local, d)."""
        return torch.cat([leaf.z for leaf in self.samples.leaves])


Parts = Sequence[Sequence[range]]  # for every rank, the blocks of each of its leaves


class Sampling:
    """Draws this rank's leaves of numbered samples, in one precision on the rank's device."""

    def __init__(
        self, start: Density, communicator: Communicator, *, seed: int, dtype: torch.dtype
    ) -> None:
        self._start, self._communicator = start, communicator
        self._seed, self._dtype = seed, dtype

    def leaves(self, blocks: SampleBlocks, least: int, rank: int) -> Sequence[range]:
        """The blocks of each leaf of `rank`, of `least` samples at least; on a GPU the fewest that
        its memory bears, as small products would leave it idle."""
        ranks = self._communicator.size
        if self._communicator.device.type == "cuda":
            return blocks.grouped(blocks.own(rank, ranks, least), _GPU_LEAF)
        return blocks.leaves(rank, ranks, least)

    def parts(self, blocks: SampleBlocks, least: int) -> Parts:
        """The leaves of every rank."""
        return [self.leaves(blocks, least, rank) for rank in range(self._communicator.size)]

    def evaluation_leaves(self, blocks: SampleBlocks, shards: int, rank: int) -> Sequence[range]:
        """The leaves of the shards of the evaluation sample that are those of `rank`."""
        most = _GPU_LEAF if self._communicator.device.type == "cuda" else _CPU_LEAF
        return [
            leaf
            for shard in blocks.shards(shards, rank, self._communicator.size)
            for leaf in blocks.grouped(shard, most)
        ]

    def evaluation_parts(self, blocks: SampleBlocks, shards: int) -> Parts:
        """The same of every rank."""
        ranks = range(self._communicator.size)
        return [self.evaluation_leaves(blocks, shards, rank) for rank in ranks]

    def draw(self, blocks: SampleBlocks, parts: Parts, purpose: Purpose, step: int = 0) -> Samples:
        """The samples of a step, or of another purpose."""
        mine = parts[self._communicator.rank]
        leaves = [self._leaf(blocks, part, purpose, step) for part in mine]
        spans = [[blocks.span(part) for part in rank] for rank in parts]
        sizes = [[span.stop - span.start for span in rank] for rank in spans]
        return Samples(leaves, sizes, step)

    def evaluation(self, blocks: SampleBlocks, shards: int) -> Evaluation:
        """The evaluation sample, in leaves of the shards in which it is stored."""
        parts = self.evaluation_parts(blocks, shards)
        mine = parts[self._communicator.rank]
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        return Evaluation(blocks, shards, span, self.draw(blocks, parts, Purpose.EVALUATION))

    def _leaf(self, blocks: SampleBlocks, part: range, purpose: Purpose, step: int) -> Reference:
        z = blocks.draw(self._start.sample, part, seed=self._seed, purpose=purpose, step=step)
        z = z.to(device=self._communicator.device, dtype=self._dtype)
        return Reference(z, self._start.log_density(z), self._start.score(z))
