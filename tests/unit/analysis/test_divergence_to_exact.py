"""KL to the exact density of a flow, against divergences in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis import ExactDivergence, exact_divergence
from hpc_wgf.cloud import Cloud

OU = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, [0.5, 2.0])), wgf.Entropy(1.0)],
    wgf.Gaussian(2, -1.0, 0.5), until=0.5,
)  # fmt: skip
HEAT = wgf.Problem(
    wgf.Entropy(1.0),
    wgf.Mixture([wgf.Gaussian(2, -3.0, 0.1), wgf.Gaussian(2, 3.0, 0.3)], [0.4, 0.6]),
    until=0.2,
)
HEATED = [wgf.Gaussian(2, -3.0, 0.5), wgf.Gaussian(2, 3.0, 0.7)]


def cloud_of(law: wgf.Gaussian | wgf.Mixture, count: int, seed: int = 1) -> Cloud:
    x = law.sample(np.random.default_rng(seed), count)
    return Cloud(x, law.log_density(x), law.score(x))


def assert_within(found: ExactDivergence, expected: float) -> None:
    assert abs(found.value - expected) <= 3 * found.standard_error + 1e-12


def test_a_wrong_gaussian_has_the_divergence_of_the_formula():
    mean, covariance = OU.exact.law(0.5)
    wrong = wgf.Gaussian(2, mean + torch.tensor([0.1, -0.2]), 1.3 * covariance)
    other = torch.distributions.MultivariateNormal(mean, torch.diag(covariance))
    own = torch.distributions.MultivariateNormal(wrong.mean, torch.diag(wrong.covariance))
    expected = float(torch.distributions.kl_divergence(own, other))
    found = exact_divergence(OU, cloud_of(wrong, 4000), 0.5, paths=2)
    assert_within(found, expected)
    assert found.standard_error < 0.05 * expected
    assert found.note == ""
    exact = exact_divergence(OU, cloud_of(wgf.Gaussian(2, mean, covariance), 500), 0.5, paths=2)
    assert abs(exact.value) < 1e-12


def test_the_bias_of_the_logarithm_is_taken_off():
    """Of an exact law, with so few paths that the plain figure is far above 0."""
    found = exact_divergence(HEAT, cloud_of(wgf.Mixture(HEATED, [0.4, 0.6]), 1000), 0.2, paths=200)
    assert found.bias > 5 * found.standard_error
    assert_within(found, 0.0)


def test_too_few_paths_give_no_value():
    found = exact_divergence(HEAT, cloud_of(wgf.Mixture(HEATED, [0.4, 0.6]), 100), 0.2, paths=40)
    assert found.value is None
    assert found.standard_error is None
    assert "it has not converged" in found.note


def test_mass_that_no_sample_shows_is_not_forgotten():
    """Samples of one component alone: e^{−Δ} − 1 + Δ alone has the mean −log .6 − .4."""
    found = exact_divergence(HEAT, cloud_of(HEATED[1], 500), 0.2, paths=200)
    assert_within(found, -math.log(0.6))
    assert "E[ρ/ρ_θ] is 0.6, not 1" in found.note


def test_at_the_start_and_of_folded_samples():
    whole = cloud_of(OU.start, 200)
    assert exact_divergence(OU, whole, 0.0).value == 0.0
    wrong = torch.where(torch.arange(200) < 50, torch.nan, whole.log_density)
    folded = Cloud(whole.x, wrong, whole.score, positive=torch.arange(200) >= 50)
    assert exact_divergence(OU, folded, 0.0).value == 0.0
    none = Cloud(whole.x, wrong, whole.score, positive=torch.zeros(200, dtype=torch.bool))
    assert "the density is known at 0 of 200 samples" in exact_divergence(OU, none, 0.0).note


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        (wgf.InternalEnergy(2.0), "is not of the form"),
        (wgf.PotentialEnergy(wgf.Quadratic(2)), "there is no entropy"),
    ],
)
def test_other_flows_are_refused(energy, said):
    problem = wgf.Problem(energy, wgf.Gaussian(2), until=1.0)
    with pytest.raises(wgf.InputError, match=said):
        exact_divergence(problem, cloud_of(problem.start, 10), 0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"paths": 3}, "even number, not 3"), ({"paths": 0}, "at least 2"), ({"seed": -1}, "seed")],
)
def test_wrong_numbers_are_refused(options, said):
    with pytest.raises(wgf.InputError, match=said):
        exact_divergence(OU, cloud_of(OU.start, 10), 0.5, **options)
    with pytest.raises(wgf.InputError, match="before the start"):
        exact_divergence(OU, cloud_of(OU.start, 10), -0.5)
