"""Numbered sample blocks, and sums along a binary tree: equal results on any number of ranks.

n samples are cut into blocks of one fixed size (the last may be shorter). Block b of step k is
drawn from a counter-based random stream of its own, (seed, `RandomStream`, k, b), so that any rank
may draw it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

# (generator, n) ↦ n samples of a density, (n, d) in float64 on the CPU
Sampler = Callable[[np.random.Generator, int], Tensor]

_CHECKED = 4096  # Samples of a block in checks before a run.
_CHECKED_NUMBERS = 2**24  # the most coordinates that a check holds at once, 128 MiB
_CHUNK = 512  # The least samples of a chunk, where no map tells a better number.


class RandomStream(IntEnum):
    """What random samples are for; samples of different purposes are independent."""

    STEP = 1
    """The samples of a step."""
    EVALUATION = 2
    """The fixed samples on which every method is judged."""
    CHECK = 3
    """Samples for checks before a run."""
    VALIDATION = 4
    """Samples that tell when a solve begins to fit the noise of those of the step."""
    ANALYSIS = 5
    """New samples of a stored run."""
    CENTRE = 6
    """Fixed samples whose centre of mass is conserved, where those of the evaluation are few."""
    CONSOLIDATION = 7
    """Samples at which one map is fitted to a chain, and those at which it is then judged."""
    PATHS = 8
    """Paths by which the exact density of a flow is told."""
    REFERENCE = 9
    """Samples of a density with which that of the flow is compared."""


@dataclass(frozen=True)
class SampleBlocks:
    """n samples in numbered blocks, to be distributed over ranks.

    Errors: `InputError` for numbers below 1.
    """

    total: int
    """n, the samples of all ranks."""
    size: int
    """Samples of a block; the last block may be shorter."""

    def __post_init__(self) -> None:
        if self.total < 1 or self.size < 1:
            raise InputError(f"sample counts must be positive, got {self}")

    @classmethod
    def automatic(cls, total: int, size: int | None = None) -> SampleBlocks:
        """`total` samples in blocks of `size`, by default total/1024, but at least 16."""
        return cls(total, size or max(16, total // 1024))

    @property
    def count(self) -> int:
        """The number of blocks."""
        return -(-self.total // self.size)

    def span(self, blocks: range) -> slice:
        """The numbers of the samples in consecutive `blocks`."""
        return slice(blocks.start * self.size, min(blocks.stop * self.size, self.total))

    def chunks(self, rank: int, ranks: int, samples: int = _CHUNK) -> list[range]:
        """The chunks of `rank` out of `ranks`: consecutive blocks, whose samples are summed first.

        Sums over samples are taken along a binary tree of the chunks of all ranks. Their number is
        a power of two fixed by n and by the least number of `samples` in a chunk (but at least 4
        chunks), not by the number of ranks. Hence 1, 2, 4, … ranks add the same numbers in the
        same order, and results are equal to the bit. With more ranks than chunks every rank has
        one chunk, and results agree to rounding.

        Errors: `InputError` for more ranks than blocks.
        """
        number, mine = self._leaf_numbers(rank, ranks, samples)
        edges = [k * self.count // number for k in range(mine.start, mine.stop + 1)]
        return [range(*pair) for pair in pairwise(edges)]

    def own(self, rank: int, ranks: int, samples: int = _CHUNK) -> range:
        """All blocks of `rank`, which are those of its `chunks`."""
        number, mine = self._leaf_numbers(rank, ranks, samples)
        return range(mine.start * self.count // number, mine.stop * self.count // number)

    def _leaf_numbers(self, rank: int, ranks: int, samples: int) -> tuple[int, range]:
        """How many chunks all ranks have together, and which of them are those of `rank`."""
        self._refuse(ranks, self.count, "sample blocks")
        wanted = max(4, self.total // samples)
        number = max(1 << (min(wanted, self.count).bit_length() - 1), ranks)
        return number, range(rank * number // ranks, (rank + 1) * number // ranks)

    def grouped(self, blocks: range, samples: int) -> list[range]:
        """Consecutive `blocks`, cut into the fewest groups of about equal length that have at
        most `samples` samples each, or are one block."""
        most = max(1, samples // self.size)
        number = -(-len(blocks) // most)
        edges = [blocks.start + k * len(blocks) // number for k in range(number + 1)]
        return [range(*pair) for pair in pairwise(edges)]

    def pieces(self, number: int, rank: int, ranks: int) -> list[range]:
        """The blocks of each piece of `rank`, for samples of which consecutive ranks own
        consecutive pieces.

        All pieces have the same number of blocks, but for the last, which may be shorter. There are
        at least `number` of them, and at least one for each rank; or one for each block, where
        there are fewer blocks than that.

        Errors: `InputError` for more ranks than pieces.
        """
        length = self.blocks_per_piece(max(number, ranks))
        pieces = -(-self.count // length)
        self._refuse(ranks, pieces, "sample blocks")
        mine = range(rank * pieces // ranks, (rank + 1) * pieces // ranks)
        return [range(k * length, min((k + 1) * length, self.count)) for k in mine]

    def blocks_per_piece(self, number: int) -> int:
        """How many whole blocks a piece has, where there are to be at least `number` pieces: so
        that there are no more of them, if that leaves blocks for all."""
        length = max(1, -(-self.count // number))
        return length if -(-self.count // length) >= number else max(1, self.count // number)

    def draw(
        self, sampler: Sampler, blocks: range, *, seed: int, stream: RandomStream, step: int = 0
    ) -> Tensor:
        """The samples of `blocks`, (n_local, d) in float64 on the CPU.

        `sampler`: draws from the density. `seed`, `stream`, `step`: choose the random numbers,
        together with the number of each block.

        Errors: `InputError` where the sampler returns no tensor, or one of another shape.
        """
        parts = []
        for block in blocks:
            key = np.random.SeedSequence((seed, int(stream), step, block))
            samples = sampler(np.random.Generator(np.random.Philox(key)), self.size)
            if not isinstance(samples, Tensor):
                raise InputError(
                    f"the start density gave samples as {type(samples).__name__}: expected a torch "
                    "tensor in float64 on the CPU (torch.from_numpy takes an array)"
                )
            if samples.ndim != 2 or len(samples) != self.size:
                raise InputError(
                    f"the start density gave samples of shape {tuple(samples.shape)} where "
                    f"{self.size} were asked for: expected ({self.size}, dimension)"
                )
            parts.append(samples[: min(self.size, self.total - block * self.size)])
        return torch.cat(parts)

    def _refuse(self, ranks: int, parts: int, what: str) -> None:
        if ranks > parts:
            raise InputError(
                f"{ranks} ranks but only {parts} {what} ({self.total} samples in blocks of "
                f"{self.size}): use at most {parts} ranks, more samples, or smaller blocks by "
                f"method.block = {max(1, self.total // ranks)}"
            )


def affordable(count: int, dimension: int) -> int:
    """How many samples, at most `count`, a check before a run takes at once in `dimension` d: their
    n·d numbers are to take at most 128 MiB."""
    return max(1, min(count, _CHECKED_NUMBERS // dimension))


def samples_to_check(sampler: Sampler, count: int, seed: int = 0) -> Tensor:
    """Samples for checks before a run, (count, d) in float64, the same on every rank."""
    blocks = SampleBlocks(count, min(count, _CHECKED))
    return blocks.draw(sampler, range(blocks.count), seed=seed, stream=RandomStream.CHECK)
