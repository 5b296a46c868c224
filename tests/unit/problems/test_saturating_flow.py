"""Exact flows with a limit of the density: known figures, the equation itself, and its rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.problems import FermiFlow, Saturating, SaturatingFlow


def nonlocal_flow(d):
    mu = {1: 1.0, 2: 3 * math.pi / 8}[d]
    return SaturatingFlow(wgf.Paraboloid(d), 1 / mu, 2 * mu)


@pytest.mark.parametrize(
    ("d", "t", "edge", "second"),
    [(2, 0.1, 0.79008, 0.25929), (2, 0.2, 0.68203, 0.22298), (2, 1.0, 0.61331, 0.18807),
     (1, 0.2, 0.68626, 0.138366), (1, 1.0, 0.52297, 0.091107)],
)  # fmt: skip
def test_edge_and_second_moment_are_known(d, t, edge, second):
    flow = nonlocal_flow(d)
    r = torch.linspace(0, 1, 20001)
    mass = r**d - d / (d + 2) * r ** (d + 2)
    x = flow.radius(r, t)
    # From the shock on the last particle is where those before it are, to the root of rounding.
    assert float(x[-1]) == pytest.approx(edge, abs=1.5e-5)
    assert float(torch.trapezoid(x**2, mass / mass[-1])) == pytest.approx(second, abs=1e-5)


def test_particles_move_by_the_velocity_of_the_flow():
    """∂ₜR = −k R (1 − u), with u from the derivative of the map, before and after the shock."""
    flow, h = nonlocal_flow(2), 1e-5
    assert flow.shock_time == pytest.approx(0.1084, abs=1e-4)
    r = torch.linspace(0.05, 0.8, 40)
    for t in (0.05, 0.25):
        R = flow.radius(r, t)
        slope = (flow.radius(r + h, t) - flow.radius(r - h, t)) / (2 * h)
        u0 = flow.height * (1 - r**2)
        u = u0 * r / (R * slope)
        rate = (flow.radius(r, t + h) - flow.radius(r, t - h)) / (2 * h)
        assert torch.allclose(rate, -flow.rate * R * (1 - u), atol=1e-6)


@pytest.mark.parametrize(
    ("d", "variance", "a", "height", "second"),
    [(1, 0.25, 0.28100, 0.94321, 0.11608), (2, 0.2025, 0.31408, 0.95854, 0.20528)],
)
def test_fermions_come_to_rest_at_their_law(d, variance, a, height, second):
    flow = FermiFlow(wgf.Gaussian(d, 0.0, variance), 1.0, 2.0, 0.1)
    rho, r = flow.density(8.0), 0.5 * (flow.faces[1:] + flow.faces[:-1])
    assert np.abs(rho - 1 / (1 + np.exp((r**2 - a) / 0.1))).max() < 2e-5
    assert rho[0] == pytest.approx(height, abs=2e-5)
    assert float((flow.masses(8.0) * r**2).sum()) == pytest.approx(second, abs=2e-5)
    coarse = FermiFlow(wgf.Gaussian(d, 0.0, variance), 1.0, 2.0, 0.1, cells=800)
    places = np.linspace(0, 3 * variance**0.5, 50)
    assert np.abs(flow.radius(places, 0.5) - coarse.radius(places, 0.5)).max() < 1e-4


@pytest.mark.parametrize("d", [2, 30])
def test_samples_in_many_dimensions_lie_within_the_cells(d):
    """They lie about √d σ from the centre; a moment after the start they are where they were."""
    flow = FermiFlow(wgf.Gaussian(d, 0.0, 0.25), 1e40, 2.0, 0.1)
    z = torch.randn(1000, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    assert float((flow(1e-6, z) - z).norm(dim=1).max()) < 1e-4


def test_they_are_the_exact_maps_of_these_problems_alone():
    parabola = wgf.PotentialEnergy(wgf.Quadratic(2))
    for start, energy, limit, kind in (
        (wgf.Paraboloid(2), [parabola], 1.0, SaturatingFlow),
        (wgf.Paraboloid(2, centre=0.5), [parabola], 1.0, None),
        (wgf.Paraboloid(2, exponent=2.0), [parabola], 1.0, None),
        (wgf.Gaussian(2, 0.0, 0.25), [parabola, wgf.FermiEntropy(0.1, 1.0)], 1.0, FermiFlow),
        (wgf.Gaussian(2, 0.0, 0.25), [parabola, wgf.FermiEntropy(0.1, 1.0)], 2.0, None),
        (wgf.Gaussian(2, 0.0, 0.25), [parabola, wgf.Entropy(0.1)], 1.0, None),
    ):
        problem = wgf.Problem(energy, start, until=1.0, mobility=Saturating(limit))
        assert isinstance(problem.exact, kind or type(None)), (start, energy, limit)
