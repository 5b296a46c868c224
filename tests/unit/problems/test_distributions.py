"""Distributions of other libraries as start densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import distributions

import hpc_wgf as wgf

COVARIANCE = [[1.0, 0.3], [0.3, 0.5]]
KNOWN = wgf.Gaussian(2, [1.0, -1.0], COVARIANCE)


def normal(dtype=torch.float64):
    mean, covariance = torch.tensor([1.0, -1.0], dtype=dtype), torch.tensor(COVARIANCE, dtype=dtype)
    return distributions.MultivariateNormal(mean, covariance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_density_and_score_are_those_of_the_distribution(dtype):
    density = wgf.DistributionDensity(normal(dtype))
    z = density.sample(np.random.default_rng(0), 20_000)
    assert z.dtype == torch.float64
    near = 1e-5 if dtype is torch.float32 else 1e-12
    assert torch.allclose(density.log_density(z), KNOWN.log_density(z), atol=20 * near)
    assert torch.allclose(density.score(z), KNOWN.score(z), atol=20 * near)
    assert torch.allclose(z.mean(0), KNOWN.mean, atol=0.03)
    assert torch.allclose(z.T.cov(), KNOWN.covariance, atol=0.03)


def test_samples_come_from_the_random_numbers_that_are_given_and_leave_torch_as_it_is():
    density = wgf.DistributionDensity(normal())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (density.sample(np.random.default_rng(1), 4) for _ in range(2))
    other = density.sample(np.random.default_rng(2), 4)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(3), expected)


def test_a_flow_from_a_distribution_is_that_from_the_density():
    energy = [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Entropy(0.5)]
    method = wgf.PWGFOptions(samples=1000, step_size=0.1)
    density, output = wgf.DistributionDensity(normal()), wgf.Output(every=0.1, bound=False)
    found = wgf.solve(wgf.Problem(energy, density, until=0.1), wgf.Affine(2), method, output)
    exact = wgf.Problem(energy, KNOWN, until=0.1).exact
    z = KNOWN.sample(np.random.default_rng(0), 1000)
    moved = exact(0.1, z)
    assert float((found.map(z).detach() - moved).norm() / (moved - z).norm()) < 0.05


def test_descriptions_tell_distributions_apart():
    wider = distributions.MultivariateNormal(torch.zeros(2), 2 * torch.eye(2))
    assert repr(wgf.DistributionDensity(normal())) == repr(wgf.DistributionDensity(normal()))
    assert repr(wgf.DistributionDensity(normal())) != repr(wgf.DistributionDensity(wider))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (distributions.Normal(0.0, 1.0), "has event_shape (d,) and no batch_shape"),
        (distributions.Normal(torch.zeros(2), torch.ones(2)), "Independent(…, 1)"),
        (3.0, "is no distribution, it has no log_prob"),
    ],
)
def test_what_is_no_distribution_on_space(given, said):
    with pytest.raises(wgf.InputError) as caught:
        wgf.DistributionDensity(given)
    assert said in str(caught.value)


def test_independent_coordinates_are_one_distribution():
    both = distributions.Independent(distributions.Normal(torch.zeros(2), torch.ones(2)), 1)
    z = torch.zeros(1, 2, dtype=torch.float64)
    assert float(wgf.DistributionDensity(both).log_density(z)) == pytest.approx(
        float(wgf.Gaussian(2).log_density(z)), rel=1e-6
    )
