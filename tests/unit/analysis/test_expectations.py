"""Expectations by importance weights, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis import expectations
from hpc_wgf.analysis.expectations import tail_index
from hpc_wgf.cloud import Cloud


def samples_of(density, count, seed=0):
    x = density.sample(np.random.default_rng(seed), count)
    return Cloud(x, density.log_density(x), torch.full_like(x, math.nan))


def problem(potential, beta=1.0, dimension=2):
    energy = [wgf.PotentialEnergy(potential), wgf.Entropy(beta)]
    return wgf.Problem(energy, wgf.Gaussian(dimension), until=1.0)


def test_moments_of_a_gaussian_target_within_their_errors():
    """V = (x − 1)²/(2·.5) and β = 2: N(1, 1) from samples of N(0, 2)."""
    target = problem(wgf.Quadratic(2, 1.0, 0.5), beta=2.0)
    found = expectations(target, samples_of(wgf.Gaussian(2, 0.0, 2.0), 20000), 1.0)
    for weighted, errors, exact in (
        (found.mean_weighted, found.mean_error, 1.0),
        (found.variance_weighted, found.variance_error, 1.0),
    ):
        assert all(0 < error < 0.05 for error in errors)
        assert np.abs(np.array(weighted) - exact).max() < 4 * max(errors)
    assert found.mean == pytest.approx([0.0, 0.0], abs=0.05)
    assert found.variance == pytest.approx([2.0, 2.0], rel=0.05)
    assert found.modes is None
    assert not found.degenerate


def test_shares_of_modes_are_those_of_the_target():
    """From as many samples in either mode to weights of .8 and .2, whose share right of the middle
    is known."""
    means = [[-2.0, 0.0], [2.0, 0.0]]
    even = wgf.Mixture([wgf.Gaussian(2, mean, 1.0) for mean in means])
    target = wgf.GaussianMixture(means, 1.0, weights=[0.8, 0.2])
    found = expectations(problem(target), samples_of(even, 20000), 1.0)
    assert found.modes == means
    assert found.shares == pytest.approx([0.5, 0.5], abs=0.02)
    # The boundary of equal responsibilities is at x₁ = log(.8/.2)/4.
    cut, phi = math.log(4) / 4, torch.special.ndtr
    exact = float(0.8 * phi(torch.tensor(cut + 2)) + 0.2 * phi(torch.tensor(cut - 2)))
    assert abs(found.shares_weighted[0] - exact) < 4 * found.shares_error[0] < 0.04


def test_importance_weights_of_the_samples_enter():
    """Samples of N(0, 2) that have the weights of N(0, 1): a target N(0, 1) then has equal ones."""
    drawn, meant = wgf.Gaussian(2, 0.0, 2.0), wgf.Gaussian(2)
    x = drawn.sample(np.random.default_rng(1), 5000)
    weight = meant.log_density(x) - drawn.log_density(x)
    cloud = Cloud(x, meant.log_density(x), torch.full_like(x, math.nan), log_weight=weight)
    found = expectations(problem(wgf.Quadratic(2)), cloud, 1.0)
    assert found.mean == pytest.approx(found.mean_weighted)
    assert found.variance == pytest.approx([1.0, 1.0], rel=0.1)


@pytest.mark.parametrize("k", [0.3, 0.9])
def test_the_tail_index_is_that_of_a_pareto_law(k):
    """w = u^{−k} has the tail index k; the standard error of the fit is about .08 here."""
    u = torch.rand(20000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert tail_index(-k * u.log()) == pytest.approx(k, abs=0.2)


def test_far_from_stationary_the_weights_are_said_to_degenerate():
    target = problem(wgf.Quadratic(8, 3.0), dimension=8)
    found = expectations(target, samples_of(wgf.Gaussian(8), 2000), 0.0)
    assert found.degenerate
    assert found.effective_samples < 20


def test_weights_too_far_for_any_tail_are_said_to_degenerate_too():
    """One sample has all the weight: no law of a tail can be fitted, and its spread is 0."""
    for count, mean in ((500, 2000.0), (20, 5.0)):
        target = problem(wgf.Quadratic(4, mean), dimension=4)
        found = expectations(target, samples_of(wgf.Gaussian(4), count), 0.0)
        assert found.tail_index is None
        assert found.degenerate


def test_weights_that_are_no_numbers_are_refused():
    target = problem(wgf.UserPotential(lambda x: torch.where(x[:, 0] > 0, x[:, 0], torch.nan)))
    with pytest.raises(wgf.InputError, match="not a number"):
        expectations(target, samples_of(wgf.Gaussian(2), 100), 0.0)


def test_equal_weights_have_no_tail():
    assert tail_index(torch.zeros(1000, dtype=torch.float64)) is None


@pytest.mark.parametrize(
    "energy", [[wgf.InternalEnergy(2.0)], [wgf.PotentialEnergy(wgf.Quadratic(2))]]
)
def test_flows_without_a_known_target_are_refused(energy):
    other = wgf.Problem(energy, wgf.Gaussian(2), until=1.0)
    with pytest.raises(wgf.InputError, match="stationary density"):
        expectations(other, samples_of(wgf.Gaussian(2), 10), 0.0)
