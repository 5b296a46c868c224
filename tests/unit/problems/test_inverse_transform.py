"""Densities as images of the uniform density of a cube."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from hpc_wgf import Barenblatt, Box, Gaussian, Mixture, Paraboloid
from hpc_wgf.ensemble.sobol import sobol_points
from hpc_wgf.problems import inverse_transform

N = 2**13
DENSITIES = [
    Gaussian(2, [1.0, -1.0], [[2.0, 0.6], [0.6, 1.0]]),
    Barenblatt(1, 3.0, 1.0, 2.0),
    Barenblatt(2, 2.4, 0.1, [1.0, -2.0]),
    Paraboloid(5, 0.5, 2.0, 1.5),
    Box(2, [-1.0, 0.0], [2.0, 0.5], 0.3),
    Box(1),
    Mixture([Box(2, -1.0, 1.0), Gaussian(2, 2.0, [[1.0, 0.4], [0.4, 0.5]])], [1.0, 4.0]),
]
every_density = pytest.mark.parametrize("density", DENSITIES, ids=str)


def quasi_random(density) -> torch.Tensor:
    transform = inverse_transform(density)
    return transform.samples(sobol_points(slice(0, N), transform.uniforms, key=(7,)))


@every_density
def test_moments_are_met_far_better_than_by_random_samples(density):
    z = quasi_random(density)
    mean, covariance = density.moments()
    full = covariance if covariance.ndim == 2 else torch.diag(covariance.expand_as(mean))
    largest = float(full.diagonal().max())
    assert torch.allclose(z.mean(0), mean, atol=1e-3 * largest**0.5)  # random ones: 1e-2
    assert torch.allclose(torch.cov(z.T).view_as(full), full, atol=3e-3 * largest)


@every_density
def test_projections_and_log_densities_follow_the_law(density):
    """Against independent samples of the density's own, by Kolmogorov and Smirnov."""
    z, own = quasi_random(density), density.sample(np.random.default_rng(1), N)
    direction = torch.linspace(1.0, 2.0, density.dimension)
    for value in (lambda x: x @ direction.to(x), density.log_density):
        if float(value(own).std()) > 1e-9:  # log λ of a uniform box is one number
            assert stats.kstest(value(z).numpy(), value(own).numpy()).pvalue > 1e-3


def test_shares_of_a_mixture_are_exact():
    z = quasi_random(Mixture([Gaussian(1, -50.0), Gaussian(1, 50.0)], [0.3, 0.7]))
    assert abs(float((z < 0).double().mean()) - 0.3) <= 1 / N


def test_a_density_of_ones_own():
    class Cube:
        dimension = 1

        def inverse_transform(self):
            return inverse_transform(Box(1, 0.0, 1.0))

    assert inverse_transform(Cube()).uniforms == 1
