"""Blocks of samples that are drawn together, and densities with their scores found together, have
the bits of one block after another, and of one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble import Sampler
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks, generators
from hpc_wgf.periods import Periods
from hpc_wgf.problems import Product, evaluated, fill, is_blockwise
from hpc_wgf.problems.wrapped import Wrapped

SEED, STEP, SIZE = 2**33 + 5, 7, 24


def normal(random, n, d):
    return torch.from_numpy(random.standard_normal((n, d)))


def gaussian(mean, covariance):
    """The stream as it has always been: m + L y by one matrix product a block."""
    d = len(covariance)
    factor = torch.linalg.cholesky(torch.tensor(covariance, dtype=torch.float64))
    mean = torch.full((d,), mean, dtype=torch.float64)
    return lambda random, n: torch.addmm(mean, normal(random, n, d), factor.T)


def ball(density):
    """A direction, and then the square of the radius."""

    def sample(random, n):
        direction = random.standard_normal((n, density.dimension))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        square = random.beta(density.dimension / 2, density.exponent + 1, (n, 1))
        z = density.radius * np.sqrt(square) * direction
        return density.centre + torch.from_numpy(z)

    return sample


def box(low, high, ramp, d):
    def sample(random, n):
        z = low + (high - low) * torch.from_numpy(random.random((n, d)))
        return z + ramp * (torch.from_numpy(random.random((n, d))) - 0.5) if ramp else z

    return sample


def mixture(weights, *parts):
    """The components' numbers, and then a sample of each component for each of them."""

    def sample(random, n):
        chosen = random.choice(len(parts), n, p=np.array(weights) / sum(weights))
        return torch.stack([part(random, n) for part in parts])[chosen, torch.arange(n)]

    return sample


COVARIANCE = np.diag(np.arange(1.0, 17.0))
FULL = COVARIANCE + 0.5
BARENBLATT = wgf.Barenblatt(16, 2.0, 0.3, 0.2)
PERIODS = Periods((1.0, 0.0, 2.5))
EYE = np.eye(16)
CASES = {
    "isotropic": (wgf.Gaussian(16, 0.0, 2.0), gaussian(0.0, 2 * EYE)),
    "diagonal": (wgf.Gaussian(16, 0.3, np.diag(COVARIANCE).tolist()), gaussian(0.3, COVARIANCE)),
    "full": (wgf.Gaussian(16, 0.3, FULL.tolist()), gaussian(0.3, FULL)),
    "barenblatt": (BARENBLATT, ball(BARENBLATT)),
    "box": (wgf.Box(16, -1.0, 2.0), box(-1.0, 2.0, 0.0, 16)),
    "ramp": (wgf.Box(16, -1.0, 2.0, ramp=0.5), box(-1.0, 2.0, 0.5, 16)),
    "mixture": (
        wgf.Mixture(
            [wgf.Gaussian(16), BARENBLATT, wgf.Gaussian(16, 2.0, FULL.tolist())], [1, 2, 3]
        ),
        mixture([1, 2, 3], gaussian(0.0, EYE), ball(BARENBLATT), gaussian(2.0, FULL)),
    ),
    "product": (
        Product([wgf.Gaussian(16), BARENBLATT]),
        lambda random, n: torch.cat(
            [gaussian(0.0, EYE)(random, n), ball(BARENBLATT)(random, n)], 1
        ),
    ),
    "wrapped": (
        Wrapped(wgf.Gaussian(3, 0.4, 0.2), PERIODS),
        lambda random, n: PERIODS.folded(gaussian(0.4, 0.2 * np.eye(3))(random, n)),
    ),
}


def in_one_go(density, total):
    """Several chunks, the last block short."""
    blocks = SampleBlocks(total, SIZE)
    sampler = Sampler(density, LocalCommunicator(), seed=SEED, dtype=torch.float64)
    drawn = sampler.draw(blocks, sampler.parts(blocks, 64), RandomStream.STEP, STEP)
    assert len(drawn.chunks) > 1
    return drawn


@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_all_streams_stay_what_they_are(name):
    density, sample = CASES[name]
    parts = []
    for block in range(12):
        key = np.random.SeedSequence((SEED, int(RandomStream.STEP), STEP, block))
        parts.append(sample(np.random.Generator(np.random.Philox(key)), SIZE))
    assert is_blockwise(density)
    assert torch.equal(torch.cat(in_one_go(density, 280).points), torch.cat(parts)[:280])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", CASES)
def test_densities_and_scores_together_are_those_alone(name, dtype):
    """Also at the edge of a support and outside of it."""
    density, sample = CASES[name]
    z = sample(np.random.default_rng(0), 300)
    z = torch.cat([z, 1.1 * z, 30 * z[:9]]).to(dtype)
    before = z.clone()
    log_density, score = evaluated(density, z)
    assert torch.equal(z, before)
    assert torch.equal(log_density, density.log_density(z))
    assert torch.equal(score, density.score(z))
    assert log_density.dtype == score.dtype == dtype


def test_keys_of_generators_are_those_of_seed_sequences():
    for before in ((0,), (3, 1, 2), (2**70 + 1, 4, 0), (2**32, 8, 2**40)):
        found = [random.random(3) for random in generators(before, range(5, 9))]
        expected = [
            np.random.Generator(np.random.Philox(np.random.SeedSequence((*before, k)))).random(3)
            for k in range(5, 9)
        ]
        assert np.array_equal(found, expected)


class OwnSamples(wgf.Gaussian):
    """A density of one's own that changes part of another, and makes generators of its own."""

    def sample(self, random, count):
        (child,) = random.bit_generator.seed_seq.spawn(1)
        return torch.from_numpy(np.random.default_rng(child).random((count, self.dimension)))


class OwnScore(wgf.Gaussian):
    def score(self, z):
        return 2 * super().score(z)


def test_what_a_subclass_changes_counts():
    own = OwnSamples(2)
    assert not is_blockwise(own)
    assert not is_blockwise(wgf.Mixture([wgf.Gaussian(2), own]))
    found = torch.cat(in_one_go(own, 280).points)
    assert float(found.min()) >= 0
    assert len(found.unique(dim=0)) == 280
    assert torch.equal(found, torch.cat(in_one_go(own, 280).points))
    mixed = torch.cat(in_one_go(wgf.Mixture([own, own]), 280).points)
    assert float(mixed.min()) >= 0
    z = torch.randn(5, 2, dtype=torch.float64)
    assert torch.equal(evaluated(OwnScore(2), z)[1], -2 * z)


def test_part_of_a_density_may_be_ones_own():
    """Each generator serves its own block."""
    density = wgf.Mixture([wgf.Gaussian(2), OwnScore(2)])
    out = torch.empty(3, 50, 2, dtype=torch.float64)
    found = fill(density, [np.random.default_rng(k) for k in range(3)], out)
    for k in range(3):
        assert torch.equal(found[k], density.sample(np.random.default_rng(k), 50))


def test_points_that_are_differentiated_by_keep_their_graph():
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    log_density, score = evaluated(wgf.Gaussian(3, 1.0, 2.0), z)
    (gradient,) = torch.autograd.grad(log_density.sum(), z)
    assert torch.allclose(gradient, score)


def test_attributes_of_ones_own_density_mean_nothing():
    class Own(wgf.Gaussian):
        components = 3
        parts = None

        def sample(self, random, count):
            return torch.zeros(count, self.dimension, dtype=torch.float64)

    assert not is_blockwise(Own(2))


def test_samples_of_another_shape_are_refused():
    class Thin(wgf.Gaussian):
        def sample(self, random, count):
            return super().sample(random, count)[:, :1]

    mixture = wgf.Mixture([Thin(2), wgf.Gaussian(2, 1.0)])
    with pytest.raises(wgf.InputError, match=r"gave samples as \(.*, 1\): expected"):
        mixture.sample(np.random.default_rng(0), 10)
