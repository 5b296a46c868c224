"""Figures of samples that are distributed over ranks."""

from __future__ import annotations

import math

import pytest
import torch
from bound import ensemble_of

from hpc_wgf.ensemble import default_pieces
from hpc_wgf.parallel import SampleBlocks


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_median_is_exact(count, dtype):
    """Over three hundred orders of magnitude, with numbers that are equal or 0."""
    random = torch.Generator().manual_seed(count)
    size = 30 if dtype == torch.float32 else 300
    spread = torch.empty(count, dtype=torch.float64).uniform_(-size, size, generator=random)
    for values in (10.0**spread, spread.abs().round(), torch.ones(count), torch.zeros(count)):
        kept = values.to(dtype)
        assert ensemble_of([kept[:, None]]).median(kept) == float(kept.median())


def test_what_is_no_number_is_left_out():
    values = torch.tensor([3.0, torch.nan, 1.0, torch.inf, 2.0, 4.0, -torch.nan])
    ensemble = ensemble_of([values[:, None]])
    assert ensemble.median(values) == 3.0
    assert math.isnan(ensemble.median(values[[1, 6]]))


@pytest.mark.parametrize("samples", [64, 1000, 4000, 10_000, 16_384, 10**6])
def test_an_evaluation_sample_has_pieces_for_all_ranks_that_share_the_chunks_of_a_step(samples):
    """Else the sums of more ranks would be others than those of one before the steps' are."""
    found = {default_pieces(samples, ranks) for ranks in (1, 2, 4)}
    (pieces,) = found
    assert pieces == 1 << (pieces.bit_length() - 1)
    assert pieces >= min(16, len(SampleBlocks.automatic(samples).chunks(0, 1)))
    assert samples < 4096 or samples // pieces >= 512
    assert default_pieces(samples, 24) == 24
