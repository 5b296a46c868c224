"""Samples by number: the same on any number of ranks, and of the density that is asked for."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import (
    Barenblatt,
    Box,
    Gaussian,
    InputError,
    Mixture,
    PWGFOptions,
    SampleStart,
)
from hpc_wgf.choices import Stream
from hpc_wgf.ensemble import Sampler
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks
from hpc_wgf.periods import Periods
from hpc_wgf.problems.wrapped import wrapped

STARTS = {
    "gaussian": Gaussian(3, [1.0, 0.0, -1.0], torch.eye(3) + 0.5),
    "mixture": Mixture([Gaussian(2), Box(2, 2.0, 3.0, 0.5)], [1.0, 2.0]),
    "uniform": Box(2, -1.0, 2.0),
    "barenblatt": Barenblatt(5, 2.0),
    "on a circle": wrapped(Gaussian(2, 1.0), Periods((3.0, 0.0))),
}
BLOCKS = SampleBlocks(4000, 48)


class Rank(LocalCommunicator):
    """One of several ranks, of which this test draws the samples only."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        super().__init__()
        self.rank, self.size = rank, size


def sampler(start, rank: Rank | None = None, **options) -> Sampler:
    given = {"seed": 5, "dtype": torch.float64, "stream": Stream.PHILOX} | options
    return Sampler(start, rank or Rank(), **given)


def drawn(start, rank: Rank | None = None, stream=RandomStream.STEP, step=3) -> torch.Tensor:
    own = sampler(start, rank)
    return torch.cat(own.draw(BLOCKS, own.parts(BLOCKS, 512), stream, step).points)


@pytest.mark.parametrize("name", STARTS)
def test_any_number_of_ranks_draws_the_same_bits(name):
    alone = drawn(STARTS[name])
    assert len(alone) == BLOCKS.total
    for size in (2, 3, 4):
        together = torch.cat([drawn(STARTS[name], Rank(rank, size)) for rank in range(size)])
        assert torch.equal(together, alone)


@pytest.mark.parametrize("name", [name for name in STARTS if name != "on a circle"])
def test_they_have_the_moments_of_the_density(name):
    z, (mean, covariance) = drawn(STARTS[name]), STARTS[name].moments()
    full = covariance if covariance.ndim == 2 else torch.diag(covariance.expand_as(mean))
    largest = float(full.diagonal().max())
    assert torch.allclose(z.mean(0), mean, atol=5 * (largest / BLOCKS.total) ** 0.5)
    assert torch.allclose(torch.cov(z.T), full, atol=10 * largest / BLOCKS.total**0.5)


def test_streams_and_steps_are_independent():
    start = Gaussian(2)
    every = [drawn(start), drawn(start, step=4), drawn(start, stream=RandomStream.EVALUATION)]
    for k, one in enumerate(every):
        for other in every[:k]:
            both = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
            assert abs(float(both)) < 5 / one.numel() ** 0.5


def test_samples_in_a_file_keep_their_order():
    start = SampleStart(torch.randn(20_000, 2, dtype=torch.float64))
    blocks, parts = SampleBlocks(500, 50), [[range(10)]]
    both = [
        sampler(start, stream=stream).draw(blocks, parts, RandomStream.STEP).points[0]
        for stream in Stream
    ]
    assert torch.equal(*both)


def test_weighted_samples_are_those_of_the_proposal():
    """E_q[λ/q] = 1, and the weights are λ/q."""
    start, proposal = Gaussian(2), Gaussian(2, covariance=2.0)
    own = sampler(start, proposal=proposal)
    (cloud,) = own.draw(BLOCKS, [[range(BLOCKS.count)]], RandomStream.STEP).chunks
    expected = start.log_density(cloud.x) - proposal.log_density(cloud.x)
    assert torch.equal(cloud.log_weight, expected)
    assert float(cloud.log_weight.exp().mean()) == pytest.approx(1.0, abs=0.05)
    assert float(cloud.x.var()) == pytest.approx(2.0, rel=0.1)


def test_what_has_no_inverse_transform_or_too_large_a_seed_is_refused():
    class Own:
        dimension = 2

    with pytest.raises(InputError, match=r'has none: .* method.stream = "numpy"'):
        sampler(Own())
    with pytest.raises(InputError, match="a method.seed of .* does not fit the philox stream"):
        sampler(Gaussian(2), seed=1 << 64)


def test_the_stream_is_part_of_a_runs_identity_where_it_is_not_the_first():
    """Descriptions of runs that were stored before there was a choice stay what they were."""
    assert "stream" not in repr(PWGFOptions(stream="philox"))
    assert PWGFOptions(stream="philox") != PWGFOptions()
