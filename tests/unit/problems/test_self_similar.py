"""Barenblatt profiles that keep their form, at rest and in a parabola."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from spring import Spring

from hpc_wgf import (
    Barenblatt,
    Entropy,
    InteractionEnergy,
    InternalEnergy,
    PotentialEnergy,
    Problem,
    Quadratic,
    StyblinskiTang,
)
from hpc_wgf.cloud import Cloud
from hpc_wgf.problems import BarenblattFlow, SumOfPotentials

START = Barenblatt(3, 3.0, 1.0, [0.2, -0.1, 0.0])


def exact(potential, factor=1.0):
    parts = [PotentialEnergy(potential), InternalEnergy(3.0, factor)]
    return Problem(parts, START, until=1.0).exact


def test_confined_about_its_centre():
    """λ⁸ = e^{−8} + (1 − e^{−8})/8 for d = m = 3, k = t₀ = t = 1."""
    z = START.sample(np.random.default_rng(0), 20)
    scale = (math.exp(-8) + (1 - math.exp(-8)) / 8) ** 0.125
    expected = START.centre + scale * (z - START.centre)
    assert torch.allclose(exact(Quadratic(3, START.centre))(1.0, z), expected, atol=1e-14)


@pytest.mark.parametrize(
    "potential",
    [
        Quadratic(3, START.centre, 0.5),
        Quadratic(3, 2.0),
        SumOfPotentials([(-0.7, Quadratic(3, 1.0))]),
        SumOfPotentials([(1.0, Quadratic(3, 1.0)), (-1.0, Quadratic(3))]),
    ],
    ids=["about its centre", "off centre", "pushed out", "linear"],
)
def test_samples_move_by_the_force(potential):
    """x' = −∇V(x) − c m ρ^{m−2} ∇ρ for the density ρ that the map itself carries."""
    flow, t, h = exact(potential, 0.6), 0.4, 1e-5
    z = START.sample(np.random.default_rng(0), 50)
    x, velocity = flow(t, z), (flow(t + h, z) - flow(t - h, z)) / (2 * h)
    origin = flow(t, START.centre[None])
    scale = float((x - origin).norm() / (z - START.centre).norm())
    log_density = START.log_density(z) - 3 * math.log(scale)
    pressure = InternalEnergy(3.0, 0.6).force(Cloud(x, log_density, START.score(z) / scale))
    assert torch.allclose(velocity, -potential.gradient(x) - pressure, atol=1e-7)


def test_an_attraction_confines_about_the_mean_wherever_that_goes():
    """In a parabola about 2 with an attraction of 0.7: the spread of one of 1.7, the mean of the
    parabola alone."""
    z = START.sample(np.random.default_rng(0), 20)
    spring = InteractionEnergy(Spring(), 0.7)
    parts = [PotentialEnergy(Quadratic(3, 2.0)), InternalEnergy(3.0), spring]
    x = Problem(parts, START, until=1.0).exact(0.8, z)
    mean = 2 + math.exp(-0.8) * (START.centre - 2)
    confined = SumOfPotentials([(1.7, Quadratic(3, START.centre))])
    expected = mean + exact(confined)(0.8, z) - START.centre
    assert torch.allclose(x, expected, atol=1e-13)


def test_the_confined_scale_solves_its_differential_equation():
    """λ' = −kλ + (c/t₀) b λ^{1 − 1/b}, of ∂ₜρ = ∇·(ρ kx) + c Δρᵐ in x = λ z."""
    k, c, b, t = 0.8, 0.6, 1 / (3 * 2 + 2), 0.9
    path = solve_ivp(lambda _, s: -k * s + c * b * s ** (1 - 1 / b), (0, t), [1.0], rtol=1e-11,
                     atol=1e-12)  # fmt: skip
    z = START.sample(np.random.default_rng(0), 20)
    x = exact(SumOfPotentials([(k, Quadratic(3, START.centre))]), c)(t, z)
    expected = START.centre + float(path.y[0, -1]) * (z - START.centre)
    assert torch.allclose(x, expected, atol=1e-8)


def test_what_does_not_keep_the_form_has_no_map():
    for potential in (Quadratic(3, 0.0, [1.0, 1.0, 2.0]), StyblinskiTang()):
        assert exact(potential) is None
    for part in (Entropy(), InternalEnergy(2.0)):
        assert Problem([InternalEnergy(3.0), part], START, until=1.0).exact is None
    both = Problem([InternalEnergy(3.0), InternalEnergy(3.0, 0.5)], START, until=1.0).exact
    assert isinstance(both, BarenblattFlow)
    assert both.factor == 1.5
