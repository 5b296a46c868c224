"""Sample blocks: the same samples however they are shared out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.parallel import RandomStream, SampleBlocks, TreeBuffers, TreeSum, tree_sum


def normal(random: np.random.Generator, count: int) -> torch.Tensor:
    return torch.from_numpy(random.standard_normal((count, 3)))


def drawn(
    blocks: SampleBlocks, ranks: int = 1, pieces: int | None = None, **stream
) -> torch.Tensor:
    stream = {"seed": 1, "stream": RandomStream.STEP, "step": 4} | stream
    parts = []
    for rank in range(ranks):
        mine = blocks.chunks(rank, ranks) if pieces is None else blocks.pieces(pieces, rank, ranks)
        parts += [blocks.draw(normal, part, **stream) for part in mine]
    return torch.cat(parts)


@pytest.mark.parametrize("total", [64, 1000, 1003, 6000])
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_same_samples_on_any_number_of_ranks(total, ranks):
    blocks = SampleBlocks.automatic(total)
    alone = drawn(blocks)
    assert alone.shape == (total, 3)
    assert torch.equal(drawn(blocks, ranks), alone)
    assert torch.equal(drawn(blocks, ranks, pieces=4), alone)


def test_streams_differ():
    blocks = SampleBlocks(64, 16)
    reference = drawn(blocks)
    for change in ({"seed": 2}, {"stream": RandomStream.EVALUATION}, {"step": 5}):
        assert not (drawn(blocks, **change) == reference).any()
    assert len(torch.unique(reference)) == reference.numel()


@pytest.mark.parametrize("total", [64, 1000, 6000, 100_000])
@pytest.mark.parametrize("least", [100, 512, 5000])
def test_leaves_do_not_depend_on_the_number_of_ranks(total, least):
    """The same groups, so that the same numbers are added in the same order."""
    blocks = SampleBlocks.automatic(total)
    alone = blocks.chunks(0, 1, least)
    assert len(alone) & (len(alone) - 1) == 0
    for ranks in (2, 4):
        parts = [chunk for rank in range(ranks) for chunk in blocks.chunks(rank, ranks, least)]
        assert parts == alone
    lengths = [blocks.span(chunk).stop - blocks.span(chunk).start for chunk in alone]
    assert len(alone) == 4 or min(lengths) >= least - blocks.size
    assert max(lengths) <= max(2 * least, total / 4) + blocks.size


@pytest.mark.parametrize("ranks", [1, 3, 4, 60])
def test_the_blocks_of_a_rank_are_those_of_its_chunks(ranks):
    blocks = SampleBlocks(1003, 16)
    for rank in range(ranks):
        chunks = blocks.chunks(rank, ranks, 100)
        assert list(blocks.own(rank, ranks, 100)) == [block for chunk in chunks for block in chunk]


@pytest.mark.parametrize(("samples", "groups"), [(10**6, 1), (500, 2), (130, 7), (1, 50)])
def test_grouped_blocks_are_even_and_no_longer_than_asked(samples, groups):
    blocks = SampleBlocks(1003, 16)
    span = range(3, 53)
    parts = blocks.grouped(span, samples)
    assert len(parts) == groups
    assert [block for part in parts for block in part] == list(span)
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) * 16 <= max(samples, 16)


def test_pieces_are_equal_but_the_last():
    blocks = SampleBlocks(1003, 16)
    lengths = [len(range(1003)[blocks.span(piece)]) for piece in blocks.pieces(10, 0, 1)]
    assert sum(lengths) == 1003
    assert set(lengths[:-1]) == {16 * blocks.blocks_per_piece(10)}
    assert len(lengths) >= 10


@pytest.mark.parametrize("samples", [4000, 10_000, 16_384, 100_000])
@pytest.mark.parametrize("number", [4, 16])
def test_there_are_no_more_pieces_than_asked_for(samples, number):
    """A seventeenth of a few samples took as long as any other."""
    assert len(SampleBlocks.automatic(samples).pieces(number, 0, 1)) == number


@pytest.mark.parametrize("ranks", range(1, 65))
def test_every_number_of_ranks_up_to_the_blocks_finds_its_pieces(ranks):
    """Rounding once gave 23 pieces where 24 ranks had asked for 24."""
    blocks = SampleBlocks.automatic(4000)
    assert all(blocks.pieces(max(16, ranks), rank, ranks) for rank in range(ranks))


@pytest.mark.parametrize(
    ("refused", "what"),
    [
        (lambda: SampleBlocks(48, 16).chunks(0, 4), "4 ranks but only 3 sample blocks"),
        (lambda: SampleBlocks(48, 16).pieces(2, 0, 5), "5 ranks but only 3 sample blocks"),
    ],
)
def test_more_ranks_than_parts_are_refused(refused, what):
    with pytest.raises(InputError, match=what):
        refused()


def test_tree_sum_on_ranks_is_tree_sum_alone():
    """Summing halves first, then the halves, is the same tree; a running sum is another."""
    parts = [torch.randn(50) * 10.0 ** (k % 5) for k in range(16)]
    whole = tree_sum(parts)
    assert torch.equal(tree_sum([tree_sum(parts[:8]), tree_sum(parts[8:])]), whole)
    assert torch.allclose(whole, sum(parts))
    assert not torch.equal(whole, sum(parts))
    assert torch.allclose(tree_sum(parts[:11]), sum(parts[:11]))


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_a_tree_of_arriving_parts_is_the_tree_of_all(ranks):
    """Each rank meets the subtrees of r, r ⊕ 1, r ⊕ 2, …: the same bits for all of them."""
    parts = [torch.randn(3) * 10.0**k for k in range(-8, 8)]
    share = len(parts) // ranks
    for rank in range(ranks):
        tree = TreeSum()
        for turn in range(ranks):
            for part in parts[(rank ^ turn) * share : ((rank ^ turn) + 1) * share]:
                tree.add(part)
        assert torch.equal(tree.total(), tree_sum(parts))
        assert not torch.equal(tree.total(), torch.stack(parts).cumsum(0)[-1])


def test_a_tree_of_any_number_of_parts_sums_them_all():
    for count in (1, 3, 6, 7):
        tree, parts = TreeSum(), [torch.randn(2) for _ in range(count)]
        for part in parts:
            tree.add(part)
        assert torch.allclose(tree.total(), torch.stack(parts).sum(0), rtol=1e-13)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8, 16])
def test_a_tree_in_buffers_is_the_tree_of_arriving_parts(count):
    """Twice with the same buffers, of which there are log₂ of the parts and one."""
    made = []

    def allocate() -> torch.Tensor:
        made.append(torch.full((5,), torch.nan))
        return made[-1]

    buffers = TreeBuffers(allocate)
    for _ in range(2):
        tree, parts = TreeSum(), [torch.randn(5) * 10.0 ** (k % 7) for k in range(count)]
        for part in parts:
            tree.add(part)
            buffers.next().copy_(part)
            buffers.add()
        assert torch.equal(buffers.total(), tree.total())
    assert len(made) <= count.bit_length()
