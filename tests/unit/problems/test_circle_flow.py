"""The exact flow on a circle against a closed form, and against particles in a Fourier solution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import ndtr

import hpc_wgf as wgf
from hpc_wgf.problems import Cosine, SeparableFlow
from hpc_wgf.problems.circle_flow import CircleFlow

Z = np.linspace(-0.4, 0.9, 27)


def mass(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """The mass of the wrapped normal density in [mean, x], lifted: it grows by 1 a turn."""
    k = np.arange(-12, 13)[:, None]
    return (ndtr((x - mean + k) / deviation) - ndtr(k / deviation)).sum(0)


def test_heat_on_a_circle_is_the_wrapped_normal_density():
    """The flow is symmetric about the mean, so that no mass passes there."""
    mean, deviation, t = 0.25, 0.1, 0.3
    flow = CircleFlow(torch.zeros_like, 0.25, mean, deviation, 1.0)
    images = flow(t, torch.from_numpy(Z)).numpy()
    grid = np.linspace(-2, 3, 100_001)
    after = (deviation**2 + 2 * 0.25 * t) ** 0.5
    exact = np.interp(mass(Z, mean, deviation), mass(grid, mean, after), grid)
    assert np.abs(images - exact).max() < 2e-5


def test_turns_of_the_mean_change_nothing():
    """However many: they are not gone through one by one."""
    z = torch.from_numpy(Z)
    here, far = (
        CircleFlow(torch.cos, 0.25, 0.25 + turns, 0.1, 1.0, 64)(0.3, z) for turns in (0, 10**9)
    )
    assert torch.allclose(far, here, atol=1e-8)


def test_particles_beyond_the_turns_that_are_followed_are_none(monkeypatch):
    flow = CircleFlow(torch.zeros_like, 0.25, 0.25, 0.1, 1.0, 64)
    z = torch.tensor([0.5], dtype=torch.float64)
    monkeypatch.setattr(flow, "_passed", lambda t: -2.0)
    assert bool(flow(0.3, z).isfinite())
    monkeypatch.setattr(flow, "_passed", lambda t: -9.0)
    assert bool(flow(0.3, z).isnan())


def test_particles_on_a_circle_follow_the_force():
    """x' = −v' − β ∂ₓ log ρ with ρ(t) a Fourier series: a current flows through 0."""
    beta, mean, deviation, t, modes = 0.25, 0.2, 0.15, 0.2, 24

    def v(x):
        return 0.5 * torch.cos(2 * math.pi * x) + 0.2 * torch.sin(4 * math.pi * x)

    k = np.arange(-modes, modes + 1)
    start = np.exp(-2j * np.pi * k * mean - 2 * (np.pi * k * deviation) ** 2)
    # v = Σ v_m e^{2πimx}
    coefficients = {1: 0.25, -1: 0.25, 2: 0.2 / 2j, -2: -0.2 / 2j}

    def rate(_: float, y: np.ndarray) -> np.ndarray:
        rho, x = y[: len(k)], y[len(k) :].real
        drift = np.zeros_like(rho)  # v'ρ
        for m, c in coefficients.items():
            shifted = np.roll(rho, m)
            shifted[:m] = 0 if m > 0 else shifted[:m]
            drift += 2j * np.pi * m * c * shifted
        waves = np.exp(2j * np.pi * np.outer(x, k))
        density = (waves @ rho).real
        slope = (waves @ (2j * np.pi * k * rho)).real
        force = (
            -np.pi * np.sin(2 * np.pi * x) + 0.8 * np.pi * np.cos(4 * np.pi * x)
            + beta * slope / density
        )  # fmt: skip
        return np.concatenate([2j * np.pi * k * drift - beta * (2 * np.pi * k) ** 2 * rho, -force])

    z = mean + deviation * np.linspace(-2.2, 2.2, 15)
    y = solve_ivp(rate, (0, t), np.concatenate([start, z]).astype(complex), rtol=1e-8, atol=1e-10)
    exact = y.y[len(k) :, -1].real
    z = torch.from_numpy(z)
    fine, coarse = (CircleFlow(v, beta, mean, deviation, 1.0, cells)(t, z).numpy()
                    for cells in (768, 384))  # fmt: skip
    assert np.abs(fine - exact).max() < 5e-5
    assert np.abs(coarse - exact).max() == pytest.approx(4 * np.abs(fine - exact).max(), rel=0.3)


def test_the_flow_commutes_with_the_period():
    flow = CircleFlow(lambda x: 0.5 * torch.cos(2 * math.pi * x), 0.25, 0.25, 0.1, 1.0, 96)
    z = torch.from_numpy(Z)
    assert torch.allclose(flow(0.1, z + 2.0), flow(0.1, z) + 2.0, atol=1e-12)
    assert float((flow(0.1, z) - z).abs().max()) > 0.1
    assert float(flow.density(3.0).mean()) == pytest.approx(1.0, abs=1e-9)


def test_problems_on_circles_know_their_exact_map():
    start = wgf.Gaussian(2, 0.25, [0.01, 1.0])
    cosine = wgf.PotentialEnergy(Cosine(2, [0.5, 0.0], stiffness=[0.0, 1.0]))
    on_circle = wgf.Problem([cosine, wgf.Entropy(0.25)], start, 0.5, periods=[1.0, 0.0])
    assert isinstance(on_circle.exact, SeparableFlow)
    assert on_circle.log_partition() is None
    correlated = wgf.Gaussian(2, 0.25, [[0.01, 0.005], [0.005, 1.0]])
    other = wgf.Problem([cosine, wgf.Entropy(0.25)], correlated, 0.5, periods=[1.0, 0.0])
    assert other.exact is None
