"""Barenblatt profiles that keep their form, at rest and in a parabola."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpc_wgf import (
    Barenblatt,
    Entropy,
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


def test_what_does_not_keep_the_form_has_no_map():
    for potential in (Quadratic(3, 0.0, [1.0, 1.0, 2.0]), StyblinskiTang()):
        assert exact(potential) is None
    for part in (Entropy(), InternalEnergy(2.0)):
        assert Problem([InternalEnergy(3.0), part], START, until=1.0).exact is None
    both = Problem([InternalEnergy(3.0), InternalEnergy(3.0, 0.5)], START, until=1.0).exact
    assert isinstance(both, BarenblattFlow)
    assert both.factor == 1.5
