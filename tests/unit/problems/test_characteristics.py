"""Flows without diffusion: against closed forms and an independent integrator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from hpc_wgf import (
    Box,
    DoubleWell,
    Entropy,
    Gaussian,
    Paraboloid,
    PotentialEnergy,
    Problem,
    Quadratic,
    StyblinskiTang,
    UserPotential,
)
from hpc_wgf.problems import CharacteristicFlow, SumOfPotentials

POTENTIALS = {
    "four wells": StyblinskiTang(),
    "a barrier": DoubleWell(50.0, 0.5, 3.0),
    "a sum": StyblinskiTang() + Quadratic(2, 0.3, [0.2, 1.0]),
}


@pytest.mark.parametrize("name", POTENTIALS)
def test_samples_follow_the_force(name):
    V, t = POTENTIALS[name], 0.7
    start = Box(2, [-2.0, -1.0], [2.0, 3.0], 0.1)
    z = start.sample(np.random.default_rng(0), 12)
    flow = Problem(PotentialEnergy(V), start, until=1.0).exact
    assert isinstance(flow, CharacteristicFlow)

    def velocity(_, x):
        return -V.gradient(torch.from_numpy(x.reshape(-1, 2))).numpy().ravel()

    path = solve_ivp(velocity, (0, t), z.numpy().ravel(), "Radau", rtol=1e-10, atol=1e-12)
    expected = torch.from_numpy(path.y[:, -1].reshape(-1, 2))
    assert float((flow(t, z) - expected).abs().max()) < 1e-8
    assert torch.equal(flow(0.0, z), z)


def test_a_quartic_well_has_a_closed_form():
    """x' = −4x³: x = z/(1 + 8tz²)^½, from the origin, from far out and from next to it."""
    z = torch.tensor([[0.0], [1e-9], [0.5], [-3.0], [1e3]], dtype=torch.float64)
    x = CharacteristicFlow(SumOfPotentials([(1.0, Quartic())]))(2.0, z)
    assert torch.allclose(x, z / (1 + 16 * z * z).sqrt(), rtol=1e-9, atol=0)


class Quartic(StyblinskiTang):
    def __call__(self, x):
        return (x**4).sum(1)


def test_no_sample_depends_on_the_others():
    """Else the error would depend on the number of ranks."""
    flow = CharacteristicFlow(StyblinskiTang())
    z = torch.randn(64, 3, dtype=torch.float64)
    assert torch.equal(flow(0.5, z)[:32], flow(0.5, z[:32]))


def test_what_leaves_in_finite_time_has_no_map():
    """x' = 4x³ from 1 is at infinity at t = 1/8."""
    z = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    x = CharacteristicFlow(SumOfPotentials([(-1.0, Quartic())]))(1.0, z)
    assert bool(x[0].isnan().all())
    assert float(x[1]) == 0.0


def test_polynomials_of_degree_two_from_any_start():
    potential = SumOfPotentials([(-0.5, Quadratic(2, 1.0, [[1.0, 0.4], [0.4, 0.5]]))])
    start = Paraboloid(2)
    exact = Problem([PotentialEnergy(potential), Entropy(0.0)], start, until=1.0).exact
    gaussian = Problem(PotentialEnergy(potential), Gaussian(2), until=1.0).exact
    z = start.sample(np.random.default_rng(0), 20)
    assert torch.allclose(exact(0.8, z), gaussian(0.8, z), atol=1e-9)


def test_no_map_is_claimed_for_what_is_not_known_to_be_separable():
    V = UserPotential(lambda x: (x[:, 0] * x[:, 1]) ** 2, "coupled")
    assert Problem(PotentialEnergy(V), Gaussian(2), until=1.0).exact is None
