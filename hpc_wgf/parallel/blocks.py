"""Numbered sample blocks: the same samples on any number of ranks.

n samples are cut into blocks of one fixed size (the last may be shorter). Block b of step k
is drawn from its own counter-based stream (seed, purpose, k, b), so who draws it is free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

Sampler = Callable[[np.random.Generator, int], Tensor]


class Purpose(IntEnum):
    """What a stream is for; streams of different purposes never meet."""

    STEP = 1
    EVALUATION = 2


@dataclass(frozen=True)
class SampleBlocks:
    """`total` samples in blocks of `size`, handed out in units of `per_unit` whole blocks.

    A unit is never split between ranks: for stored samples it is one shard of the store.
    """

    total: int
    size: int
    per_unit: int = 1

    def __post_init__(self) -> None:
        if self.total < 1 or self.size < 1 or self.per_unit < 1:
            raise InputError(f"sample counts must be positive, got {self}")

    @classmethod
    def automatic(cls, total: int, size: int | None = None) -> SampleBlocks:
        """Blocks of `size`, by default a 1024th of the samples and at least 16 of them."""
        return cls(total, size or max(16, total // 1024))

    def in_units(self, units: int) -> SampleBlocks:
        """The same blocks in at most `units` units of equal length (the last may be shorter)."""
        return SampleBlocks(self.total, self.size, -(-self.count // max(1, units)))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.total // self.size)

    @property
    def units(self) -> int:
        """Number of units."""
        return -(-self.count // self.per_unit)

    @property
    def unit_length(self) -> int:
        """Samples in one full unit."""
        return self.size * self.per_unit

    def owned(self, rank: int, size: int, what: str = "sample blocks") -> range:
        """The blocks of `rank` among `size` ranks: consecutive, as even as units allow."""
        if size > self.units:
            raise InputError(
                f"{size} ranks but only {self.units} {what} of {self.unit_length} samples "
                f"({self.total} in all): use at most {self.units} ranks, more samples or "
                "smaller blocks"
            )
        first, last = (k * self.units // size for k in (rank, rank + 1))
        return range(first * self.per_unit, min(last * self.per_unit, self.count))

    def span(self, blocks: range) -> slice:
        """The sample numbers of consecutive `blocks`."""
        return slice(blocks.start * self.size, min(blocks.stop * self.size, self.total))

    def draw(
        self, sampler: Sampler, blocks: range, *, seed: int, purpose: Purpose, step: int = 0
    ) -> Tensor:
        """Samples of `blocks`, (n_local, d) in float64 on the CPU."""
        parts = []
        for block in blocks:
            key = np.random.SeedSequence((seed, int(purpose), step, block))
            samples = sampler(np.random.Generator(np.random.Philox(key)), self.size)
            parts.append(samples[: min(self.size, self.total - block * self.size)])
        return torch.cat(parts)
