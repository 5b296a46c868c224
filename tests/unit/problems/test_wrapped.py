"""Start densities on circles: mass, scores, samples, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import i0

import hpc_wgf as wgf
from hpc_wgf.periods import Periods
from hpc_wgf.problems import Wrapped, inverse_transform, jump_of
from hpc_wgf.problems.wrapped import wrapped

CIRCLES = Periods((1.0, 2.0))
DENSITIES = {
    "narrow": wgf.Gaussian(2, 0.25, 0.01),
    "wide": wgf.Gaussian(2, 0.25, [0.5, 4.0]),
    "correlated": wgf.Gaussian(2, [0.1, 1.9], [[0.09, 0.05], [0.05, 0.16]]),
    "mixture": wgf.Mixture([wgf.Gaussian(2, 0.9, 0.04), wgf.Gaussian(2, 0.2, 0.02)], [1, 3]),
    "box": wgf.Box(2, [0.6, 0.5], [1.3, 1.2], 0.3),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_the_images_of_a_density_have_its_mass_once(name):
    """By the trapezoidal rule, which is exact to rounding for smooth periodic functions; with the
    periods, the score of its own logarithm, and samples in the first period."""
    density = wrapped(DENSITIES[name], CIRCLES)
    x, y = (torch.arange(160, dtype=torch.float64) / 160 * length for length in CIRCLES.lengths)
    grid = torch.cartesian_prod(x, y)
    mass = float(density.log_density(grid).exp().mean()) * 2.0
    assert mass == pytest.approx(1.0, abs=1e-3 if name == "box" else 1e-12)
    z = density.sample(np.random.default_rng(0), 4000)
    assert bool(CIRCLES.contain(z).all())
    log = density.log_density(z)
    assert torch.allclose(density.log_density(z - CIRCLES.shift(1, z)), log, atol=1e-9)
    point = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(density.log_density(point).sum(), point)
    kinks = 0.02 if name == "box" else 0.0
    off = (slope - density.score(z)).abs().max(1).values > 1e-8
    assert float(off.double().mean()) <= kinks
    # E cos 2πx₁ over samples, and over the grid.
    wave = torch.cos(2 * torch.pi * grid[:, 0])
    expected = float((wave * density.log_density(grid).exp()).mean()) * 2.0
    found = float(torch.cos(2 * torch.pi * z[:, 0]).mean())
    assert found == pytest.approx(expected, abs=4 / 4000**0.5)


def test_a_box_that_closes_is_uniform_and_has_no_jump():
    assert jump_of(wrapped(wgf.Box(2, 0.0, [1.0, 2.0]), CIRCLES)) is None
    assert "jumps" in jump_of(wrapped(wgf.Box(2, 0.0, [1.0, 1.5]), CIRCLES))
    uniform = wrapped(wgf.Box(1, 0.2, 1.2, 0.5), Periods((1.0,)))
    z = torch.rand(50, 1, dtype=torch.float64)
    assert torch.allclose(uniform.log_density(z), torch.zeros(50, dtype=torch.float64), atol=1e-12)
    assert float(uniform.score(z).abs().max()) < 1e-9


def test_quasi_random_points_are_folded_samples():
    transform = inverse_transform(wrapped(DENSITIES["narrow"], CIRCLES))
    u = torch.rand(100, transform.uniforms, dtype=torch.float64)
    inner = inverse_transform(DENSITIES["narrow"]).samples(u.clone())
    assert torch.equal(transform.samples(u), CIRCLES.folded(inner))


class VonMises:
    """λ ∝ e^{κ cos 2πz} on a circle of length 1: a density of one's own."""

    dimension = 1

    def __init__(self, concentration: float, period: float = 1.0) -> None:
        self.concentration, self.period = concentration, period

    def sample(self, random, count):
        angle = random.vonmises(0.0, self.concentration, (count, 1))
        return torch.from_numpy(angle / (2 * np.pi)).remainder(1.0)

    def log_density(self, z):
        wave = torch.cos(2 * torch.pi * z[:, 0] / self.period)
        return self.concentration * wave - float(np.log(i0(self.concentration)))

    def score(self, z):
        wave = torch.sin(2 * torch.pi * z / self.period)
        return -2 * torch.pi * self.concentration * wave


def test_a_density_of_ones_own_needs_the_periods():
    circle = Periods((1.0,))
    assert not isinstance(wrapped(VonMises(2.0), circle), Wrapped)
    with pytest.raises(wgf.InputError, match="has not the period 1 of coordinate 0"):
        wrapped(VonMises(2.0, period=1.1), circle)


@pytest.mark.parametrize(
    ("start", "periods", "message"),
    [
        (wgf.Gaussian(2), [1.0], "1 periods are given in dimension 2"),
        (DENSITIES["correlated"], [1e-3, 1e-3], "images of itself, more than can be added up"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(start, periods, message):
    with pytest.raises(wgf.InputError, match=message):
        wgf.Problem([wgf.Entropy(1.0)], start, 1.0, periods=periods)


def test_a_light_component_far_away_keeps_its_mass():
    """It lies ten deviations of the whole mixture from its mean."""
    parts = [wgf.Gaussian(1, 0.0, 0.01), wgf.Gaussian(1, 20.5, 0.01)]
    density = wrapped(wgf.Mixture(parts, [0.99, 0.01]), Periods((2.0,)))
    x = torch.arange(400, dtype=torch.float64)[:, None] / 200
    assert float(density.log_density(x).exp().mean()) * 2.0 == pytest.approx(1.0, abs=1e-12)
    peak = float(density.log_density(x[100:101]))
    assert peak == pytest.approx(float(np.log(0.01 / (0.02 * np.pi) ** 0.5)), abs=1e-3)


def test_a_density_fitted_to_samples_has_no_periods():
    z = np.random.default_rng(0).standard_normal((300, 1))
    with pytest.raises(wgf.InputError, match="samples on circles: leave density out"):
        wrapped(wgf.SampleStart(z, density="fitted"), Periods((1.0,)))
    assert wrapped(wgf.SampleStart(z), Periods((1.0,))).density is None
