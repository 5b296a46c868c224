"""Potentials learned from samples of a density."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.problems.potentials import Potential
from hpc_wgf.problems.sample_target import SampleTarget

TRUE = wgf.Mixture([wgf.Gaussian(2, [-1.5, 0.0], 0.3), wgf.Gaussian(2, [1.5, 0.5], 0.5)])


@pytest.fixture(scope="module")
def target():
    return SampleTarget.drawn_from(TRUE, 4000)


def test_the_density_is_learned_with_its_constant(target):
    """KL to the true density, and a mass of 1, on a grid that reaches far from all samples."""
    axis = torch.linspace(-30.0, 30.0, 301, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    log_q = -target(x)
    mass = float(log_q.exp().sum()) * 0.2**2
    assert mass == pytest.approx(1.0, abs=0.03)
    kl = float((log_q.exp() * (log_q - TRUE.log_density(x))).sum()) * 0.2**2 / mass
    assert kl - math.log(mass) < 0.05
    assert 0.3 < target.loss < math.log(2)


def test_its_gradient_is_that_of_its_values(target):
    x = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(target.gradient(x), Potential.gradient(target, x), rtol=1e-10)


def test_far_away_it_is_the_gaussian_that_it_was_compared_with(target):
    """No fit to no samples: ∇V = (3.9² C)⁻¹ (x − m) along all rays, C the samples' covariance."""
    z = TRUE.sample(np.random.default_rng(0), 4000)
    rays = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)).double()
    x = 30 * rays / rays.norm(dim=1, keepdim=True)
    expected = torch.linalg.solve(3.9**2 * z.T.cov(), (x - z.mean(0)).T).T
    assert torch.allclose(target.gradient(x), expected, rtol=1e-9)


def test_a_gaussian_in_ten_dimensions():
    """Nothing but noise is added to the Gaussian of the samples' moments."""
    true = wgf.Gaussian(10, 0.5, 2.0)
    learned = SampleTarget.drawn_from(true, 2000)
    x = true.sample(np.random.default_rng(7), 4000)
    kl = float((true.log_density(x) + learned(x)).mean())
    assert abs(kl) < 0.15


def test_how_good_the_fit_is_is_told(target):
    """E_μ[Q/μ] = 1 for the exact ratio, and not known where the loss is lowest: with few samples in
    many dimensions, which are easily told apart."""
    mean, error = target.ratio
    assert error < 0.05
    assert abs(mean - 1) < 3 * error
    (line,) = target.notes()
    assert f"E_μ[Q/μ] = {mean:.3f} ± {error:.3f}" in line
    few = SampleTarget.drawn_from(wgf.Gaussian(100), 300)
    assert few.loss < target.loss
    assert few.ratio[1] > 0.5
    assert "300 samples are few for the 192 features" in few.notes()[1]


def test_the_same_samples_and_seed_give_the_same_bits():
    first, again = (SampleTarget.drawn_from(TRUE, 500) for _ in range(2))
    assert torch.equal(again.theta, first.theta)
    assert repr(again) == repr(first)
    assert repr(SampleTarget.drawn_from(TRUE, 500, seed=1)) != repr(first)


def test_few_samples_and_samples_on_a_plane():
    z = TRUE.sample(np.random.default_rng(0), 300)
    with pytest.raises(wgf.InputError, match="a target is learned from at least 256"):
        SampleTarget(z[:255])
    z[:, 1] = z[:, 0]
    with pytest.raises(wgf.InputError, match="the samples lie on a plane"):
        SampleTarget(z)
    z[:, 1] = 1e200 * torch.rand(300, dtype=torch.float64)
    with pytest.raises(wgf.InputError, match="so that their variances overflow"):
        SampleTarget(z)
