"""Who writes which samples, and how they get there."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from hpc_wgf.parallel import SampleBlocks
from hpc_wgf.store import blocks_per_shard, default_shards
from hpc_wgf.store.shards import ShardExchange


class Ranks:
    """The mail of ranks that are threads of one process."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=20)
        self.items: list[object] = [None] * size
        self.mail: dict[tuple[int, int], torch.Tensor] = {}


class Thread:
    """One of them, as a communicator."""

    device = torch.device("cpu")

    def __init__(self, ranks: Ranks, rank: int) -> None:
        self._ranks, self.rank, self.size = ranks, rank, ranks.size

    def gather(self, item):
        self._ranks.items[self.rank] = item
        self._ranks.barrier.wait()
        found = list(self._ranks.items)
        self._ranks.barrier.wait()
        return found

    def exchange(self, send, to, receive, source):
        assert send.numel()
        assert receive.numel()
        self._ranks.mail[self.rank, to] = send.clone()
        self._ranks.barrier.wait()
        receive.copy_(self._ranks.mail.pop((source, self.rank)))
        self._ranks.barrier.wait()
        return lambda: None


def written(total: int, ranks: int, shard: int) -> list[tuple[slice, np.ndarray, np.ndarray]]:
    """What each rank writes of `total` numbered samples."""
    blocks, mail = SampleBlocks(total, 4), Ranks(ranks)
    x = np.arange(3.0 * total).reshape(total, 3)
    found: list = [None] * ranks

    def run(rank: int) -> None:
        mine = blocks.pieces(16, rank, ranks)
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        exchange = ShardExchange(Thread(mail, rank), span, shard)
        found[rank] = (exchange.written, exchange.collect(x[span]), exchange.collect(-x[span, 0]))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7, 16, 25])
@pytest.mark.parametrize("shard", [4, 12, 28, 52, 100, 104])
def test_every_shard_is_written_by_one_rank_and_whole(ranks, shard):
    total = 100
    everything = np.arange(3.0 * total).reshape(total, 3)
    seen = 0
    for span, particles, log_density in written(total, ranks, shard):
        assert span.start == seen or span.start == span.stop
        assert span.start % shard == 0 or span.start == total
        assert np.array_equal(particles, everything[span])
        assert np.array_equal(log_density, -everything[span, 0])
        seen = max(seen, span.stop)
    assert seen == total


def test_a_shard_has_a_mebibyte_or_there_is_one():
    assert [default_shards(mib << 20) for mib in (0, 1, 3, 4, 9, 40, 1000)] == [
        1, 1, 2, 4, 8, 16, 16,
    ]  # fmt: skip


@pytest.mark.parametrize("total", [100, 1000, 6000, 20_000, 100_000, 1_000_003])
@pytest.mark.parametrize("shards", [1, 3, 5, 16, 64])
def test_shards_are_whole_blocks_and_about_as_many_as_asked(total, shards):
    blocks = SampleBlocks.automatic(total)
    length = blocks_per_shard(blocks, 16, shards)
    number = -(-blocks.count // length)
    assert number >= 1
    assert 1 / 1.5 <= number / min(shards, blocks.count) <= 1.5
    if shards < 16:
        assert length % blocks.blocks_per_piece(16) == 0


@pytest.mark.parametrize("total", [6000, 20_000, 100_000, 1_000_003])
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_ranks_write_what_they_compute_where_there_are_as_many_shards(total, ranks):
    blocks = SampleBlocks.automatic(total)
    for shards in (shards for shards in (1, 2, 4, 8, 16) if shards >= ranks):
        length = blocks_per_shard(blocks, 16, shards)
        begins = [blocks.pieces(16, rank, ranks)[0].start for rank in range(ranks)]
        assert all(begin % length == 0 for begin in begins)
