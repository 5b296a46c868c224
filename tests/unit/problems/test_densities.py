"""Start densities: normalised, sampled as they say, with the right score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from hpc_wgf import Box, Gaussian, InputError, Mixture, Paraboloid

FULL = [[2.0, 0.6], [0.6, 1.0]]
DENSITIES = {
    "standard": Gaussian(2),
    "full": Gaussian(2, [1.0, -1.0], FULL),
    "mixture": Mixture([Gaussian(2, -1.0, 0.3), Gaussian(2, [1.0, 0.5], FULL)], [1.0, 3.0]),
}
every_density = pytest.mark.parametrize("name", DENSITIES)


@every_density
def test_mass_is_one(name):
    axis = torch.linspace(-12, 12, 601)
    grid = torch.cartesian_prod(axis, axis)
    mass = DENSITIES[name].log_density(grid).exp().sum() * (24 / 600) ** 2
    assert float(mass) == pytest.approx(1.0, abs=1e-8)


@every_density
def test_score_is_the_gradient_of_the_log_density(name):
    z = torch.randn(50, 2, requires_grad=True)
    (expected,) = torch.autograd.grad(DENSITIES[name].log_density(z).sum(), z)
    assert torch.allclose(DENSITIES[name].score(z.detach()), expected, atol=1e-11)


@every_density
def test_samples_follow_the_density(name):
    """Mean, covariance and the law of log λ itself, against quadrature over a grid."""
    density = DENSITIES[name]
    z = density.sample(np.random.default_rng(0), 40_000)
    axis = torch.linspace(-12, 12, 601)
    grid = torch.cartesian_prod(axis, axis)
    weights = density.log_density(grid).exp() * (24 / 600) ** 2
    mean = weights @ grid
    covariance = (grid - mean).T @ ((grid - mean) * weights[:, None])
    assert torch.allclose(z.mean(0), mean, atol=0.03)
    assert torch.allclose(torch.cov(z.T), covariance, atol=0.06)
    entropy = -float(weights @ density.log_density(grid))
    assert -float(density.log_density(z).mean()) == pytest.approx(entropy, abs=0.03)


@every_density
def test_moments_are_those_of_the_density(name):
    axis = torch.linspace(-12, 12, 601)
    grid = torch.cartesian_prod(axis, axis)
    weights = DENSITIES[name].log_density(grid).exp() * (24 / 600) ** 2
    mean, covariance = DENSITIES[name].moments()
    centred = grid - weights @ grid
    expected = centred.T @ (centred * weights[:, None])
    assert torch.allclose(mean, weights @ grid, atol=1e-8)
    full = covariance if covariance.ndim == 2 else torch.diag(covariance.expand(2))
    assert torch.allclose(full, expected, atol=1e-8)


def test_a_mixture_of_very_many_coordinates_tells_its_variances():
    wide = Mixture([Gaussian(1001, -1.0, 0.3), Gaussian(1001, 1.0, 0.3)])
    mean, variances = wide.moments()
    assert torch.allclose(mean, torch.zeros(1001))
    assert torch.allclose(variances, torch.full((1001,), 1.3))


def test_gaussian_log_density_against_scipy():
    z = torch.randn(20, 2)
    expected = stats.multivariate_normal([1.0, -1.0], FULL).logpdf(z.numpy())
    assert np.allclose(DENSITIES["full"].log_density(z).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (0.0, [[1.0, 2.0], [2.0, 1.0]], "not positive definite.*-1"),
        (0.0, [[1.0, 0.5], [0.4, 1.0]], "not symmetric"),
        (0.0, [1.0, 1.0, 1.0], r"shape \(3,\) but the dimension is 2"),
        ([0.0, 0.0, 0.0], 1.0, r"shape \(3,\) but the dimension is 2"),
        (0.0, -1.0, "not positive definite"),
        (float("nan"), 1.0, "not finite"),
    ],
)
def test_what_is_no_gaussian_is_refused(mean, covariance, message):
    with pytest.raises(InputError, match=message):
        Gaussian(2, mean, covariance)


def test_a_product_of_matrices_is_symmetric_up_to_rounding():
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))[0]
    product = torch.from_numpy(Q @ np.diag(np.linspace(1, 3, 60)) @ Q.T)
    assert not torch.equal(product, product.T)
    made = Gaussian(60, 0.0, product).covariance
    assert torch.equal(made, made.T)
    assert torch.allclose(made, product, atol=1e-14)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -2.0], [float("inf"), 1.0]])
def test_mixture_weights_are_checked(weights):
    with pytest.raises(InputError, match="positive weights"):
        Mixture([Gaussian(2), Gaussian(2)], weights)


@pytest.mark.parametrize(
    "density",
    [
        Gaussian(2, 1e4 + 0.1, 0.01),
        Mixture([Gaussian(2, 1e4 + 0.1, 0.01), Gaussian(2, 1e4 + 0.3, 0.02)]),
        Paraboloid(2, 1e4 + 0.1, 0.5, 2.0),
        Box(2, 1e4 + 0.1, 1e4 + 1.1, 0.5),
    ],
    ids=["gaussian", "mixture", "paraboloid", "box"],
)
def test_single_precision_does_not_care_where_the_density_is(density):
    """Log density and score at samples as they are stored, to 1e-4 of their largest values: centres
    that are rounded to single precision were off by 5e-4, and log λ by 2e-2."""
    z = density.sample(np.random.default_rng(0), 1000).float()
    inside = density.log_density(z.double()) > -5.0  # At an edge both have no bound.
    for of in (density.log_density, density.score):
        exact, single = of(z.double())[inside], of(z)[inside]
        assert float((exact - single).abs().max()) <= 1e-4 * float(exact.abs().max())
