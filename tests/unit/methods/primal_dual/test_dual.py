"""The dual forms by quadrature on the line: equal to F at the optimal h, below it at any other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.methods.primal_dual.dual import EntropyDual, PowerDual, RatioDual
from hpc_wgf.methods.primal_dual.network import LogRatio
from hpc_wgf.methods.primal_dual.reference import BoxReference, GaussianReference, RowsReference
from hpc_wgf.problems.sample_rows import SampleRows

ONE = torch.ones(1, dtype=torch.float64)
MU = GaussianReference(0.3 * ONE, 1.4 * ONE[:, None])
BOX = BoxReference(0.1 * ONE, 1.5 * ONE)
GAUSSIAN, PROFILE = wgf.Gaussian(1, 0.0, 0.5), wgf.Barenblatt(1, 2.5, 0.2)


def log_normal(x, mean, variance):
    return -0.5 * (x[:, 0] - mean) ** 2 / variance - 0.5 * math.log(2 * math.pi * variance)


def value(dual, density, log_reference, change):
    """E_ρ[𝒜] − E_Γ[ℬ] at log h* + `change`, by the midpoint rule."""
    width = 2.9998 / 60_000 if isinstance(dual, PowerDual) else 16.0 / 60_000
    first = -1.3999 if isinstance(dual, PowerDual) else -8.0
    x = (first + width * (torch.arange(60_000, dtype=torch.float64) + 0.5))[:, None]
    log_rho, log_gamma = density.log_density(x), log_reference(x)
    u = (log_rho - log_gamma).clamp(min=-200) + change(x[:, 0])
    rho = log_rho.exp()
    found = torch.where(rho > 0, rho * dual.at_samples(u, x), 0.0).sum()
    return float(width * (found - (log_gamma.exp() * dual.at_reference(u)).sum()))


CASES = {
    # F = −β (½ log(2πe s²)) of a Gaussian, and by the profile's own formula: E of c/(m−1) ρ^{m−1}.
    "entropy": (EntropyDual(0.7, MU), GAUSSIAN, MU.log_density,
                -0.7 * 0.5 * math.log(2 * math.pi * math.e * 0.5)),
    "ratio": (RatioDual(None), GAUSSIAN, lambda x: log_normal(x, 1.0, 2.0),
              0.5 * (0.5 / 2.0 + 1.0 / 2.0 - 1.0 + math.log(4.0))),
    "power": (PowerDual(2.5, 0.8, BOX), PROFILE,
              lambda x: torch.full_like(x[:, 0], -BOX.log_volume), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_dual_is_the_energy_at_the_optimum_and_below_elsewhere(name):
    dual, density, log_reference, exact = CASES[name]
    if exact is None:
        x = torch.linspace(-1, 1, 400_001, dtype=torch.float64)[:, None] * density.radius
        power = 0.8 / 1.5 * torch.exp(2.5 * density.log_density(x))
        exact = float(torch.trapezoid(power, x[:, 0]))
    at_best = value(dual, density, log_reference, torch.zeros_like)
    assert at_best == pytest.approx(exact, rel=1e-5)
    assert value(dual, density, log_reference, lambda x: 0.1 * torch.cos(3 * x)) < exact - 1e-4


def test_references_are_the_densities_they_say():
    random = np.random.default_rng(0)
    factor = torch.tensor([[1.0, 0.0], [0.5, 2.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    gaussian = GaussianReference(mean, factor)
    x = gaussian.sample(random, 100_000)
    assert torch.allclose(x.mean(0), mean, atol=0.03)
    assert torch.allclose(torch.cov(x.T), factor @ factor.T, atol=0.06)
    known = torch.distributions.MultivariateNormal(mean, scale_tril=factor)
    assert torch.allclose(gaussian.log_density(x[:9]), known.log_prob(x[:9]))
    box = BoxReference(mean, torch.tensor([1.0, 3.0], dtype=torch.float64))
    x = box.sample(random, 100_000)
    assert not bool(box.has_left(x).any())
    assert bool(box.has_left(mean + torch.tensor([[1.01, 0.0]])).all())
    assert box.log_volume == pytest.approx(math.log(12))
    assert torch.allclose(x.var(0), torch.tensor([1.0, 9.0]).double() / 3, rtol=0.02)
    rows = RowsReference.of(SampleRows(x[:500]))
    assert torch.allclose(rows.coordinates(x[:500]).mean(0), torch.zeros(2).double(), atol=1e-12)


def test_the_network_begins_at_zero_and_is_bounded():
    network = LogRatio(2, 8, 2, 3.0, seed=5, dtype=torch.float64)
    y = torch.randn(50, 2, dtype=torch.float64)
    assert float(network(y).detach().abs().max()) == 0.0
    with torch.no_grad():
        network.layers[-1].weight.fill_(1e3)
    assert float(network(1e3 * y).detach().abs().max()) <= 3.0
    again = LogRatio(2, 8, 2, 3.0, seed=5, dtype=torch.float64)
    assert torch.equal(again.layers[0].weight, network.layers[0].weight)
