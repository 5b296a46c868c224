"""The stored samples on their way from the ranks that computed them to those that write them.

A shard has one writer: two would lose each other's data. The rank that has the first sample of a
shard writes all of it, and gets what is missing from the ranks after it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..parallel import Communicator, SampleBlocks
from .host_copy import HostCopy

_LEAST_BYTES = 1 << 20  # smaller files cost more than they spread
_MOST = 16


def default_shards(row_bytes: int) -> int:
    """Shards of a row of particles of so many bytes: of a mebibyte at least and sixteen at most; a
    power of two, as ranks as a rule are, each of which then has whole shards of its own."""
    most = max(1, min(_MOST, row_bytes // _LEAST_BYTES))
    return 1 << (most.bit_length() - 1)


def blocks_per_shard(blocks: SampleBlocks, pieces: int, shards: int) -> int:
    """Whole blocks in each of about `shards` shards: whole pieces (see `SampleBlocks.pieces`)
    where there are more of them than shards, so that most ranks begin where a shard does."""
    piece = blocks.blocks_per_piece(pieces)
    number = -(-blocks.count // piece)
    return blocks.blocks_per_piece(shards) if shards > number else round(number / shards) * piece


class ShardExchange:
    """Brings the samples of every shard to the rank that writes it."""

    def __init__(self, communicator: Communicator, span: slice, shard: int) -> None:
        """Collective. `span`: the samples of this rank, consecutive ones that follow those of the
        rank before; `shard`: samples in a shard."""
        self._communicator = communicator
        self._spans = [range(*pair) for pair in communicator.gather((span.start, span.stop))]
        total = self._spans[-1].stop
        ends = [[min(-(-end // shard) * shard, total) for end in (s.start, s.stop)]
                for s in self._spans]  # fmt: skip
        self._written = [range(*pair) for pair in ends]
        self._distances = self._all_distances()

    @property
    def written(self) -> slice:
        """The samples that this rank writes, in whole shards; none where it writes none."""
        mine = self._written[self._communicator.rank]
        return slice(mine.start, mine.stop)

    def sent(self, values: Tensor) -> Callable[[], np.ndarray]:
        """A copy of this rank's samples on its way to the rank that writes them, the same bits;
        what is returned waits for those that this one writes. Collective."""
        if not self._distances:
            return HostCopy(values).numpy
        found = self.collect(values.cpu().numpy())
        return lambda: found

    def collect(self, values: np.ndarray) -> np.ndarray:
        """This rank's samples (n_local, …) → those that it writes, the same bits. Collective."""
        if not self._distances:
            return values
        written = self._written[self._communicator.rank]
        found = np.empty((len(written), *values.shape[1:]), values.dtype)
        self._place(found, self._communicator.rank, values)
        for distance in self._distances:
            self._pass_on(found, values, distance)
        return found

    def _pass_on(self, found: np.ndarray, values: np.ndarray, distance: int) -> None:
        """Every rank's samples that the rank `distance` before it writes."""
        ranks = self._communicator
        to, source = (ranks.rank - distance) % ranks.size, (ranks.rank + distance) % ranks.size
        begin = self._spans[ranks.rank].start
        out = self._common(ranks.rank, to)
        send = _message(values[out.start - begin : out.stop - begin]).to(ranks.device)
        incoming = np.empty(
            (len(self._common(source, ranks.rank)), *values.shape[1:]), values.dtype
        )
        receive = _message(incoming).to(ranks.device)
        ranks.exchange(send, to, receive, source)()
        self._place(found, source, receive.cpu().numpy())

    def _place(self, found: np.ndarray, source: int, values: np.ndarray) -> None:
        """Put what `source` has of this rank's shards where it belongs; `values` may hold more."""
        rank = self._communicator.rank
        common, begin = self._common(source, rank), self._written[rank].start
        first = common.start - self._spans[rank].start if source == rank else 0
        if common:
            part = values[first : first + len(common)]
            found[common.start - begin : common.stop - begin] = part

    def _common(self, source: int, writer: int) -> range:
        """Samples that `source` computes and `writer` writes."""
        computed, written = self._spans[source], self._written[writer]
        begin = max(computed.start, written.start)
        return range(begin, max(begin, min(computed.stop, written.stop)))

    def _all_distances(self) -> list[int]:
        """How many ranks after its writer a part of a shard may be computed."""
        size = self._communicator.size
        return [
            distance
            for distance in range(1, size)
            if any(len(self._common(rank + distance, rank)) for rank in range(size - distance))
        ]


def _message(values: np.ndarray) -> torch.Tensor:
    """As it is sent or received: of one sample at least, as some libraries pass no empty ones."""
    if not len(values):
        values = np.zeros((1, *values.shape[1:]), values.dtype)
    return torch.from_numpy(np.ascontiguousarray(values))
