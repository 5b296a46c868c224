"""Sample blocks: the same samples however they are shared out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.parallel import Purpose, SampleBlocks


def normal(random: np.random.Generator, count: int) -> torch.Tensor:
    return torch.from_numpy(random.standard_normal((count, 3)))


def drawn(blocks: SampleBlocks, ranks: int, **stream) -> torch.Tensor:
    stream = {"seed": 1, "purpose": Purpose.STEP, "step": 4} | stream
    parts = [blocks.draw(normal, blocks.owned(rank, ranks), **stream) for rank in range(ranks)]
    return torch.cat(parts)


@pytest.mark.parametrize("total", [64, 1000, 1003])
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_same_samples_on_any_number_of_ranks(total, ranks):
    blocks = SampleBlocks.automatic(total)
    alone = drawn(blocks, 1)
    assert alone.shape == (total, 3)
    assert torch.equal(drawn(blocks, ranks), alone)
    assert torch.equal(drawn(blocks.in_units(ranks + 1), ranks), alone)


def test_streams_differ():
    blocks = SampleBlocks(64, 16)
    reference = drawn(blocks, 1)
    for change in ({"seed": 2}, {"purpose": Purpose.EVALUATION}, {"step": 5}):
        other = drawn(blocks, 1, **change)
        assert not (other == reference).any()
    assert len(torch.unique(reference)) == reference.numel()


def test_spans_cover_the_samples_once():
    blocks = SampleBlocks(1003, 16, 5)
    covered = [n for r in range(3) for n in range(1003)[blocks.span(blocks.owned(r, 3))]]
    assert covered == list(range(1003))


@pytest.mark.parametrize(
    ("blocks", "ranks"), [(SampleBlocks(48, 16), 4), (SampleBlocks(64, 16, 2), 3)]
)
def test_more_ranks_than_units_are_refused(blocks, ranks):
    with pytest.raises(InputError, match="use at most"):
        blocks.owned(0, ranks)
