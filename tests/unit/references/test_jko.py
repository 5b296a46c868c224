"""Exact JKO steps: stationary, and of self-similar profiles dilations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

import hpc_wgf as wgf
from hpc_wgf.references.jko import gaussian_step, quantile_step


def test_steps_of_gaussians_are_stationary_and_of_first_order():
    s, a, tau, beta = np.array([0.2, 1.0, 3.0]), np.array([0.0, 1.0, 40.0]), 0.05, 0.7
    after, shrunk = gaussian_step(s, a, beta, tau)
    assert np.allclose((after - s) / tau, beta / after - a * after, rtol=1e-12)
    assert np.allclose((shrunk - 1) / tau, -a * shrunk)
    exact = np.sqrt(s**2 * np.exp(-2 * a) + beta * np.where(a > 0, -np.expm1(-2 * a), 2.0)
                    / np.where(a > 0, a, 1.0))  # fmt: skip
    errors = []
    for steps in (400, 800):
        at = s
        for _ in range(steps):
            at, _ = gaussian_step(at, a, beta, 1.0 / steps)
        errors.append(np.abs(at - exact).max())
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("tau", [5e-4, 1e-2])
def test_a_step_of_quantiles_is_the_dilation_of_a_profile(tau):
    """Of a Barenblatt profile, m = 2, the step is x ↦ rx: ρ is a parabola, and with it the slope of
    its pressure linear. r is the root of (r − 1) E|x|²/τ = (m − 1) r⁻ᵐ F."""
    radius = wgf.Barenblatt(1, 2.0, 0.002).radius
    r = brentq(lambda r: (r - 1) * radius**2 / 5 / tau - 0.6 / radius / r**2, 1, 10)
    apart = []
    for cells in (1000, 4000):
        masses = np.arange(cells + 1) / cells
        x = radius * 2 * np.sin(np.arcsin(2 * masses - 1) / 3)
        after = quantile_step(x, 2.0, 1.0, tau)
        squares = np.trapezoid([(after - r * x) ** 2, (r * x) ** 2], dx=1 / cells)
        apart.append(float(np.sqrt(squares[0] / squares[1])))
    assert apart[0] < 1e-3
    assert apart[1] < apart[0] / 3
