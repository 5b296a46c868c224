"""Densities of compact support: mass one, exact samples, the right score up to the edge."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from hpc_wgf import Barenblatt, Box, Gaussian, InputError, InternalEnergy, Mixture, Paraboloid
from hpc_wgf.cloud import Cloud
from hpc_wgf.problems import Density

PAPER = {1: 3.0, 2: 2.4, 5: 3.0, 15: 2.0}  # dimension: m


@pytest.mark.parametrize("dimension", PAPER)
@pytest.mark.parametrize("time", [1e-3, 0.1, 1.5])
def test_a_barenblatt_profile_has_mass_one(dimension, time):
    """Radial quadrature."""
    density = Barenblatt(dimension, PAPER[dimension], time)
    sphere = 2 * math.pi ** (dimension / 2) / math.gamma(dimension / 2)

    def shell(angle: float) -> float:  # r = R sin: the substitution smooths the edge
        r = density.radius * math.sin(angle)
        z = torch.zeros(1, dimension)
        z[0, 0] = r
        radial = sphere * r ** (dimension - 1) * float(density.log_density(z).exp())
        return radial * density.radius * math.cos(angle)

    mass, _ = integrate.quad(shell, 0, math.pi / 2, epsabs=1e-12, epsrel=1e-12, limit=200)
    assert mass == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("dimension", PAPER)
def test_a_barenblatt_profile_is_the_corrected_formula(dimension):
    """t^{−α}(C − k|x|²t^{−2α/d})^{1/(m−1)}; with C as the paper prints it, a factor d in its
    denominator, the formula's mass would be 1/d."""
    m, t, d = PAPER[dimension], 0.3, dimension
    alpha = d / (d * (m - 1) + 2)
    k = (m - 1) * alpha / (2 * m * d)
    beta = special.beta(d / 2, m / (m - 1))
    gamma = d / 2 + 1 / (m - 1)
    C = ((k / math.pi) ** (d / 2) * math.gamma(d / 2) / beta) ** (1 / gamma)
    density = Barenblatt(d, m, t)
    assert density.radius == pytest.approx((C / k) ** 0.5 * t ** (alpha / d), rel=1e-12)
    z = 0.5 * density.radius * torch.nn.functional.normalize(torch.randn(5, d), dim=1)
    square = z.square().sum(1) * t ** (-2 * alpha / d)
    expected = t**-alpha * (C - k * square) ** (1 / (m - 1))
    assert torch.allclose(density.log_density(z).exp(), expected, rtol=1e-11)


@pytest.mark.parametrize("dimension", PAPER)
def test_a_barenblatt_profile_moves_as_the_porous_medium_equation_says(dimension):
    """−f = v with v = (α/d) x/t, the velocity of the self-similar solution: everywhere inside,
    where the density spans many magnitudes, and on the very edge."""
    m, time = PAPER[dimension], 0.7
    density = Barenblatt(dimension, m, time, centre=0.3)
    direction = torch.nn.functional.normalize(torch.randn(40, dimension), dim=1)
    radii = torch.cat([torch.rand(36), torch.tensor([0.0, 1 - 1e-9, 1 - 1e-13, 1.0])])
    z = 0.3 + density.radius * radii[:, None] * direction
    force = InternalEnergy(m).force(Cloud(z, density.log_density(z), density.score(z)))
    expected = density.alpha / dimension * (z - 0.3) / time
    assert torch.allclose(-force, expected, rtol=1e-10, atol=1e-12)


def test_the_edge_in_single_precision():
    """Rounding puts samples outside the support: the force keeps its limit there."""
    density = Barenblatt(2, 2.4, 0.1)
    angle = torch.linspace(0, 6, 50)
    z = (density.radius * torch.stack([angle.cos(), angle.sin()], 1)).float()
    force = InternalEnergy(2.4).force(Cloud(z, density.log_density(z), density.score(z)))
    expected = density.alpha / 2 * z / 0.1
    assert torch.allclose(-force, expected, rtol=1e-4)


DENSITIES: dict[str, tuple[Density, float]] = {  # with what holds its support
    "Barenblatt": (Barenblatt(2, 2.4, 0.1, [0.2, -0.1]), 2.0),
    "paraboloid": (Paraboloid(2, 0.1, 1.5, 1.0), 2.0),
    "steep": (Paraboloid(2, 0.0, 1.0, 3.0), 2.0),
    "box": (Box(2, [-1.0, 0.0], [1.0, 0.5]), 2.0),
    "ramped box": (Box(2, -1.0, [1.0, 0.5], 0.4), 2.0),
    "triangle": (Box(2, -1.0, 1.0, 2.0), 3.0),
    "mixture": (Mixture([Gaussian(2, 1.0, 0.1), Box(2, -1.0, 1.0, 0.3)], [0.2, 0.8]), 4.0),
}
every_density = pytest.mark.parametrize("name", DENSITIES)


def quadrature(density: Density, half: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints, (k, 2), and their masses, over [−half, half]²."""
    axis = (torch.arange(1600) + 0.5) / 1600 * 2 * half - half
    grid = torch.cartesian_prod(axis, axis)
    return grid, density.log_density(grid).exp() * (2 * half / 1600) ** 2


@every_density
def test_samples_follow_the_density(name):
    """Mass, mean, covariance, and the mean of the density itself, against quadrature."""
    density, half = DENSITIES[name]
    grid, weights = quadrature(density, half)
    assert float(weights.sum()) == pytest.approx(1.0, abs=2e-3)
    z = density.sample(np.random.default_rng(0), 40_000)
    assert z.shape == (40_000, 2)
    mean = weights @ grid
    covariance = (grid - mean).T @ ((grid - mean) * weights[:, None])
    assert torch.allclose(z.mean(0), mean, atol=0.02)
    assert torch.allclose(torch.cov(z.T), covariance, atol=0.02)
    density_mean = float(weights @ density.log_density(grid).exp())
    assert float(density.log_density(z).exp().mean()) == pytest.approx(density_mean, rel=0.02)
    assert bool(torch.isfinite(density.log_density(z)).all())


@pytest.mark.parametrize("name", [name for name in DENSITIES if name != "box"])
def test_score_is_the_gradient_of_the_log_density(name):
    density, _ = DENSITIES[name]
    z = density.sample(np.random.default_rng(1), 500)
    point = z.clone().requires_grad_()
    (expected,) = torch.autograd.grad(density.log_density(point).sum(), point)
    assert torch.allclose(density.score(z), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in DENSITIES if name != "mixture"])
def test_nothing_lies_outside(name):
    density, half = DENSITIES[name]
    far = torch.tensor([[2 * half, 0.0], [0.0, -2 * half]])
    assert bool(torch.isneginf(density.log_density(far)).all())
    assert torch.equal(density.score(far), torch.zeros_like(far))


def test_the_paraboloid_of_the_literature():
    z = torch.tensor([[-0.9], [0.0], [0.4]])
    assert torch.allclose(Paraboloid(1).log_density(z).exp(), 0.75 * (1 - z[:, 0] ** 2))


def test_a_ramped_box_is_a_trapezoid():
    density = stats.trapezoid(1 / 9, 8 / 9, loc=-1.125, scale=2.25)
    z = torch.linspace(-1.12, 1.12, 60)[:, None]
    expected = density.pdf(z[:, 0].numpy())
    assert np.allclose(Box(1, -1, 1, 0.25).log_density(z).exp().numpy(), expected)
    drawn = Box(1, -1, 1, 0.25).sample(np.random.default_rng(3), 5000)[:, 0].numpy()
    assert stats.kstest(drawn, density.cdf).pvalue > 1e-3


def test_who_jumps():
    assert "faces" in (Box(2).jump() or "")
    assert "faces" in (Mixture([Gaussian(2), Box(2)]).jump() or "")
    for density in (Box(2, ramp=0.1), Barenblatt(2, 2.0), Paraboloid(2), Gaussian(2)):
        assert density.jump() is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Barenblatt(2, 1.0), "m above 1, got m = 1"),
        (lambda: Barenblatt(2, 2.0, 0.0), "positive time"),
        (lambda: Paraboloid(2, radius=-1.0), "radius.*positive"),
        (lambda: Paraboloid(2, exponent=0.0), "exponent.*positive"),
        (lambda: Box(2, 1.0, -1.0), "low < high"),
        (lambda: Box(2, [0.0, 0.0, 0.0]), r"shape \(3,\) but the dimension is 2"),
        (lambda: Box(2, ramp=3.0), "between 0 and its shortest side, 2"),
        (lambda: InternalEnergy(1.0), "above 1, got m = 1"),
        (lambda: InternalEnergy(0.5), "above 1, got m = 0.5"),
        (lambda: InternalEnergy(2.0, -1.0), "finite and not negative"),
    ],
)
def test_what_is_no_density_or_energy_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "density",
    [
        Barenblatt(2, 2.4, 0.1, [1.0, -2.0]),
        Paraboloid(3, 0.5, 2.0, 1.5),
        Box(2, [-1.0, 0.0], [2.0, 0.5], 0.3),
        Mixture([Box(2, -1.0, 1.0), Gaussian(2, 2.0, [[1.0, 0.4], [0.4, 0.5]])], [1.0, 4.0]),
    ],
    ids=str,
)
def test_moments_are_those_of_the_samples(density):
    z = density.sample(np.random.default_rng(3), 200_000)
    mean, covariance = density.moments()
    full = covariance if covariance.ndim == 2 else torch.diag(covariance.expand_as(mean))
    largest = float(full.diagonal().max())
    assert torch.allclose(z.mean(0), mean, atol=0.01 * largest**0.5)
    assert torch.allclose(torch.cov(z.T), full, atol=0.015 * largest)
