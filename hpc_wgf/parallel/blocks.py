"""Numbered sample blocks: the same samples on any number of ranks.

n samples are cut into blocks of one fixed size (the last may be shorter). Block b of step k
is drawn from its own counter-based stream (seed, purpose, k, b), so who draws it is free.
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

Sampler = Callable[[np.random.Generator, int], Tensor]

_CHECKED = 4096  # samples of a block, where something is tried before a run
_CHUNK = 512  # samples of a chunk, at least, where nothing is known of the map


class RandomStream(IntEnum):
    """What a stream is for; streams of different purposes never meet."""

    STEP = 1
    EVALUATION = 2
    CHECK = 3
    VALIDATION = 4
    ANALYSIS = 5


@dataclass(frozen=True)
class SampleBlocks:
    """`total` samples in blocks of `size`."""

    total: int
    size: int

    def __post_init__(self) -> None:
        if self.total < 1 or self.size < 1:
            raise InputError(f"sample counts must be positive, got {self}")

    @classmethod
    def automatic(cls, total: int, size: int | None = None) -> SampleBlocks:
        """Blocks of `size`, by default a 1024th of the samples and at least 16 of them."""
        return cls(total, size or max(16, total // 1024))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.total // self.size)

    def span(self, blocks: range) -> slice:
        """The sample numbers of consecutive `blocks`."""
        return slice(blocks.start * self.size, min(blocks.stop * self.size, self.total))

    def chunks(self, rank: int, ranks: int, samples: int = _CHUNK) -> list[range]:
        """Groups of blocks of `rank`: the leaves of the binary tree along which sums are taken.

        Their number is a power of two that the samples and the least of them in a chunk alone
        decide (`samples`; at least 4 chunks), so that on 1, 2, 4, … ranks the same numbers are
        added in the same order, and results are equal to the bit. With more ranks than that,
        every rank has one chunk, and results agree to rounding.
        """
        number, mine = self._leaf_numbers(rank, ranks, samples)
        edges = [k * self.count // number for k in range(mine.start, mine.stop + 1)]
        return [range(*pair) for pair in pairwise(edges)]

    def own(self, rank: int, ranks: int, samples: int = _CHUNK) -> range:
        """All blocks of `rank`: those of its chunks."""
        number, mine = self._leaf_numbers(rank, ranks, samples)
        return range(mine.start * self.count // number, mine.stop * self.count // number)

    def _leaf_numbers(self, rank: int, ranks: int, samples: int) -> tuple[int, range]:
        """How many chunks there are, and which of them are those of `rank`."""
        self._refuse(ranks, self.count, "sample blocks")
        wanted = max(4, self.total // samples)
        number = max(1 << (min(wanted, self.count).bit_length() - 1), ranks)
        return number, range(rank * number // ranks, (rank + 1) * number // ranks)

    def grouped(self, blocks: range, samples: int) -> list[range]:
        """Consecutive `blocks` in the fewest equal groups of `samples` samples at most, or of one
        block."""
        most = max(1, samples // self.size)
        number = -(-len(blocks) // most)
        edges = [blocks.start + k * len(blocks) // number for k in range(number + 1)]
        return [range(*pair) for pair in pairwise(edges)]

    def pieces(self, number: int, rank: int, ranks: int) -> list[range]:
        """The blocks of each piece of `rank`, consecutive as ranks are: at least `number` pieces
        and one a rank, of equal length (the last may be shorter), or one per block."""
        length = self.blocks_per_piece(max(number, ranks))
        pieces = -(-self.count // length)
        self._refuse(ranks, pieces, "sample blocks")
        mine = range(rank * pieces // ranks, (rank + 1) * pieces // ranks)
        return [range(k * length, min((k + 1) * length, self.count)) for k in mine]

    def blocks_per_piece(self, number: int) -> int:
        """Whole blocks in each of at least `number` pieces."""
        return max(1, self.count // number)

    def draw(
        self, sampler: Sampler, blocks: range, *, seed: int, stream: RandomStream, step: int = 0
    ) -> Tensor:
        """Samples of `blocks`, (n_local, d) in float64 on the CPU."""
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


def samples_to_check(sampler: Sampler, count: int, seed: int = 0) -> Tensor:
    """(count, d), on which something is tried before a run: the same on every rank."""
    blocks = SampleBlocks(count, min(count, _CHECKED))
    return blocks.draw(sampler, range(blocks.count), seed=seed, stream=RandomStream.CHECK)


def tree_sum(parts: list[Tensor]) -> Tensor:
    """Σ parts along a binary tree: neighbours first, then neighbouring pairs, …"""
    while len(parts) > 1:
        pairs = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(parts) & ~1 :]
    return parts[0]


class TreeSum:
    """`tree_sum` of parts that arrive one by one, keeping log₂ of their number: equal to the bit
    for a power of two of parts, whose subtrees may arrive in either order."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Tensor]] = []  # (level, sum of 2^level parts)

    def add(self, part: Tensor) -> None:
        level = 0
        while self._waiting and self._waiting[-1][0] == level:
            part = self._waiting.pop()[1] + part
            level += 1
        self._waiting.append((level, part))

    def total(self) -> Tensor:
        """The sum of all parts added so far."""
        result = self._waiting[-1][1]
        for _, part in reversed(self._waiting[:-1]):
            result = part + result
        return result


class TreeBuffers:
    """`TreeSum` of vectors that are written in place: its buffers, log₂ of their number and one,
    are allocated once and serve one sum after another."""

    def __init__(self, allocate: Callable[[], Tensor]) -> None:
        self._allocate = allocate
        self._buffers: list[Tensor] = []
        self._levels: list[int] = []  # buffer k holds the sum of 2^level parts

    def next(self) -> Tensor:
        """The buffer into which the next part is to be written before `add`."""
        if len(self._levels) == len(self._buffers):
            self._buffers.append(self._allocate())
        return self._buffers[len(self._levels)]

    def add(self) -> None:
        """Take in the part that lies in the buffer of `next`."""
        self._levels.append(0)
        while len(self._levels) > 1 and self._levels[-1] == self._levels[-2]:
            self._fold()
            self._levels[-1] += 1

    def total(self) -> Tensor:
        """The sum of all parts, in a buffer that the next sum writes over."""
        while len(self._levels) > 1:
            self._fold()
        self._levels.clear()
        return self._buffers[0]

    def _fold(self) -> None:
        self._levels.pop()
        left = len(self._levels) - 1
        self._buffers[left].add_(self._buffers[left + 1])
