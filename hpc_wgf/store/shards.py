"""The stored samples on their way from the ranks that computed them to those that write them.

A shard has one writer: two would lose each other's data. The rank that has the first sample of a
shard writes all of it, and gets what is missing from the ranks after it.
"""

from __future__ import annotations

import numpy as np
import torch

from ..parallel import Communicator, SampleBlocks

_LEAST_BYTES = 1 << 21  # smaller files cost more than they spread
_MOST = 16


def default_shards(row_bytes: int) -> int:
    """Shards of a row of particles of so many bytes: of two mebibytes at least, sixteen at most."""
    return max(1, min(_MOST, row_bytes // _LEAST_BYTES))


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

    def collect(
        self, particles: np.ndarray, log_density: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """This rank's samples (n_local, d) and (n_local,) → those that it writes, the same bits.
        Collective."""
        if not self._distances:
            return particles, log_density
        both = np.concatenate([particles, log_density[:, None]], axis=1)
        mine = self._written[self._communicator.rank]
        found = np.empty((len(mine), both.shape[1]), both.dtype)
        self._place(found, self._communicator.rank, both)
        for distance in self._distances:
            self._pass_on(found, both, distance)
        return found[:, :-1], found[:, -1]

    def _pass_on(self, found: np.ndarray, both: np.ndarray, distance: int) -> None:
        """Every rank's samples that the rank `distance` before it writes."""
        ranks = self._communicator
        to, source = (ranks.rank - distance) % ranks.size, (ranks.rank + distance) % ranks.size
        begin = self._spans[ranks.rank].start
        out = self._common(ranks.rank, to)
        send = _buffer(len(out), both)
        send[: len(out)] = torch.from_numpy(both[out.start - begin : out.stop - begin])
        send = send.to(ranks.device)
        receive = _buffer(len(self._common(source, ranks.rank)), both).to(ranks.device)
        ranks.exchange(send, to, receive, source)()
        self._place(found, source, receive.cpu().numpy())

    def _place(self, found: np.ndarray, source: int, values: np.ndarray) -> None:
        """Put what `source` has of this rank's shards where it belongs; `values` may hold more."""
        rank = self._communicator.rank
        common, begin = self._common(source, rank), self._written[rank].start
        first = common.start - self._spans[rank].start if source == rank else 0
        found[common.start - begin : common.stop - begin] = values[first : first + len(common)]

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


def _buffer(length: int, like: np.ndarray) -> torch.Tensor:
    """Rows to be sent or received; at least one, as an empty message is none to some libraries."""
    dtype = torch.from_numpy(like[:0]).dtype
    return torch.zeros((max(1, length), like.shape[1]), dtype=dtype)
