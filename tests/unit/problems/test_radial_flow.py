"""The porous medium flow of shells, against Barenblatt profiles, tabulated energies and scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
import torch

import hpc_wgf as wgf
from hpc_wgf.problems import radial_flow
from hpc_wgf.problems.radial_flow import RadialPorousFlow, StandardFlow


def misfit_to_barenblatt(count: int, dimension: int = 10, m: float = 3.0) -> float:
    """Error over displacement, from time 1 to 5, on `count` faces at equal distances."""
    profile = wgf.Barenblatt(dimension, m)
    r = profile.radius * np.arange(1, count + 1) / count
    square = np.append(0, (r / profile.radius) ** 2)
    masses = np.diff(scipy.special.betainc(dimension / 2, profile.exponent + 1, square))
    unit = (2 * math.pi) ** (-0.5 * dimension * (m - 1))  # of u, in which N(0, I) has height 1
    moved = StandardFlow(dimension, m, r, masses).faces(4.0 * unit)
    exact = r * 5.0 ** (profile.alpha / dimension)
    return math.sqrt((masses * (moved - exact) ** 2).sum() / (masses * (exact - r) ** 2).sum())


def test_faces_follow_a_barenblatt_profile():
    found = [misfit_to_barenblatt(count) for count in (100, 200, 400)]
    assert np.all(np.array(found) < [4.3e-3, 1.42e-3, 4.5e-4])
    assert found[0] > 2.7 * found[1] > 2.7**2 * found[2]
    assert misfit_to_barenblatt(400, dimension=1, m=2.0) < 3e-5


def test_the_front_of_a_late_gaussian_is_that_of_a_barenblatt_profile():
    """Far out, faces that the front meets are carried along, and none is overtaken."""
    flow, s = StandardFlow.gaussian(2, 2.0, 150), 2000.0
    faces = flow.faces(s)
    assert np.all(np.diff(faces) > 0)
    # ρ = (C − r²/(16√s))/√s with the mass 2π of u
    assert faces[-1] == pytest.approx(math.sqrt(8.0) * s**0.25, rel=2e-4)


def mixture(dimension: int = 10) -> wgf.Mixture:
    parts = [wgf.Gaussian(dimension, 0.0, 0.1), wgf.Gaussian(dimension, 2.0, 0.2)]
    return wgf.Mixture(parts, [0.2, 0.8])


def test_the_energies_of_a_mixture_in_ten_dimensions():
    flow = RadialPorousFlow.known(3.0, 1.0, mixture())
    found = [flow.energy(t) for t in (0.0, 0.1, 0.2, 0.3)]
    digits = [3, 2, 3, 3]
    shown = [f"{value:.{count}e}" for value, count in zip(found, digits, strict=True)]
    assert shown == ["1.824e-03", "6.03e-04", "4.566e-04", "3.836e-04"]
    # ½ ∫ λ³ of Gaussians that do not overlap
    exact = sum(
        0.5 * w**3 * (2 * math.pi * v) ** -10 * 3.0**-5 for w, v in ((0.2, 0.1), (0.8, 0.2))
    )
    assert found[0] == pytest.approx(exact, rel=1e-4)


def test_the_mass_keeps_its_shells():
    """d/dt F = −∫ρ|v|², by differences of the energy and of the map."""
    start = wgf.Gaussian(3, 1.0, 0.5)
    flow = RadialPorousFlow.known(2.0, 1.0, start)
    z = start.sample(np.random.default_rng(0), 200_000)
    t, h = 0.2, 1e-3
    velocity = (flow(t + h, z) - flow(t - h, z)) / (2 * h)
    rate = (flow.energy(t + h) - flow.energy(t - h)) / (2 * h)
    assert float(velocity.square().sum(1).mean()) == pytest.approx(-rate, rel=5e-3)


def test_the_first_motion_is_the_force():
    """x ≈ z − t c m ρ^{m−1} ∇ log ρ."""
    start = wgf.Gaussian(4, [1.0, 0.0, -1.0, 2.0], [0.3] * 4)
    flow = RadialPorousFlow.known(2.5, 1.7, start)
    z = start.sample(np.random.default_rng(1), 500)
    force = 1.7 * 2.5 * torch.exp(1.5 * start.log_density(z))[:, None] * start.score(z)
    t = 1e-4
    step = (flow(t, z) - z) / t
    assert float((step + force).norm() / force.norm()) < 2e-3


def test_parts_of_a_mixture_move_as_alone_until_they_meet(monkeypatch):
    coarse = StandardFlow.gaussian(2, 2.0, 80)
    monkeypatch.setattr(radial_flow, "_standard", lambda dimension, m: coarse)
    start = wgf.Mixture(
        [wgf.Gaussian(2, [-1.8, 0.0], 0.1), wgf.Gaussian(2, [1.8, 0.0], 0.08)], [0.5, 0.5]
    )
    flow = RadialPorousFlow.known(2.0, 1.0, start)
    z = start.sample(np.random.default_rng(0), 100)
    left = z[:, 0] < 0
    # ½ρ moves as ρ with half the factor.
    alone = RadialPorousFlow.known(2.0, 0.5, wgf.Gaussian(2, [-1.8, 0.0], 0.1))
    assert torch.allclose(flow(0.05, z)[left], alone(0.05, z[left]), rtol=0, atol=1e-6)
    assert torch.equal(flow(0.0, z), z)
    assert not flow.has_met(0.05)
    late = 4.0
    assert flow.has_met(late)
    assert bool(flow(late, z).isnan().all())
    assert math.isnan(flow.energy(late))


def test_where_it_is_known():
    porous = wgf.InternalEnergy(3.0)

    def known(start, *energies):
        problem = wgf.Problem([*(energies or [porous])], start, until=1.0)
        return isinstance(problem.exact, RadialPorousFlow)

    assert known(mixture())
    assert known(wgf.Gaussian(3, 1.0, 2.0))
    assert known(wgf.Gaussian(3), porous, porous)
    assert not known(wgf.Gaussian(3), porous, wgf.InternalEnergy(2.0))
    assert not known(wgf.Gaussian(2, 0.0, [1.0, 2.0]))
    assert not known(wgf.Gaussian(2), porous, wgf.PotentialEnergy(wgf.Quadratic(2)))
    assert not known(wgf.Gaussian(2), porous, wgf.Entropy())
    near = wgf.Mixture([wgf.Gaussian(2, 0.0), wgf.Gaussian(2, 2.0)])
    assert not known(near)
    assert not known(wgf.Box(2))
