"""Flows that stay Gaussian, for any symmetric matrix, against closed forms and matrix equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm, sqrtm
from spring import Spring

from hpc_wgf import (
    Barenblatt,
    Entropy,
    Gaussian,
    InteractionEnergy,
    Mixture,
    PotentialEnergy,
    PowerLaw,
    Problem,
    Quadratic,
    StyblinskiTang,
)
from hpc_wgf.problems import GaussianFlow, SumOfPotentials

HEAT = np.array([[1, 0.3, 0, 0], [0.3, 0.8, 0.2, 0], [0, 0.2, 1.2, -0.1], [0, 0, -0.1, 0.5]])
START = Gaussian(2, [0.5, -1.0], [[1.0, 0.3], [0.3, 0.5]])
ONE = Quadratic(2, [1.0, 2.0], [[1.0, 0.4], [0.4, 0.5]])
OTHER = Quadratic(2, [-1.0, 0.5], [[0.5, -0.2], [-0.2, 1.0]])
POTENTIALS = {
    "indefinite": SumOfPotentials([(1.0, ONE), (-0.6, OTHER)]),
    "negative": SumOfPotentials([(-0.5, ONE)]),
    "no diagonal": SumOfPotentials(
        [(2.0, Quadratic(2, 1.0, [[2.0, 1.0], [1.0, 1.0]])), (1.0, Quadratic(2)),
         (-1.0, Quadratic(2, 1.0, [1 / 3, 1 / 5]))]
    ),
    "linear": SumOfPotentials([(1.0, ONE), (-1.0, Quadratic(2, [0.0, 3.0], ONE.covariance))]),
    "rank one": SumOfPotentials(
        [(1.0, Quadratic(2, 0.3, [[2.0, -1.0], [-1.0, 2.0]])), (-1 / 3, Quadratic(2, 1.0))]
    ),
}  # fmt: skip


def exact(potential, start, beta=1.0):
    parts = [] if potential is None else [PotentialEnergy(potential)]
    return Problem([*parts, Entropy(beta)], start, until=1.0)


def test_the_heat_flow_of_a_gaussian():
    """(C₀ + 2βt)^½ C₀^{−½}, about the mean; no potential, and nothing to normalise."""
    problem = exact(None, Gaussian(4, [1.0, 0.0, 2.0, -1.0], HEAT.tolist()), 0.7)
    assert problem.log_partition() is None
    z, t = torch.randn(9, 4), 1.0
    root = sqrtm(HEAT + 2 * 0.7 * t * np.eye(4)) @ np.linalg.inv(sqrtm(HEAT))
    expected = problem.start.mean + (z - problem.start.mean) @ torch.from_numpy(root).T
    assert torch.allclose(problem.exact(t, z), expected, atol=1e-12)
    assert torch.allclose(problem.exact.law(t)[1], torch.from_numpy(HEAT) + 1.4 * torch.eye(4))


@pytest.mark.parametrize("k", [1.3, 1e-9, -1e-9, -1.3])
def test_a_parabola_of_either_sign(k):
    """var(t) = e^{−2kt} var(0) + β (1 − e^{−2kt})/k, m(t) = μ + e^{−kt}(m₀ − μ)."""
    potential = SumOfPotentials([(k, Quadratic(1, 2.0))])
    flow = exact(potential, Gaussian(1, 0.5, 0.3), 0.8).exact
    mean, variance = flow.law(0.9)
    growth = math.exp(-2 * k * 0.9)
    assert float(mean) == pytest.approx(2.0 + growth**0.5 * (0.5 - 2.0), rel=1e-12)
    expected = 0.3 * growth - 0.8 * math.expm1(-2 * k * 0.9) / k
    assert float(variance) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.6])
@pytest.mark.parametrize("name", POTENTIALS)
def test_the_law_solves_its_equations_and_the_map_carries_it(name, beta):
    """m' = −∇V(m), C' = −QC − CQ + 2βI by an independent integrator; x' = −∇V(x) + βC⁻¹(x − m)."""
    V, t, h = POTENTIALS[name], 0.7, 1e-4
    flow = exact(V, START, beta).exact
    assert isinstance(flow, GaussianFlow)
    zero = V.gradient(torch.zeros(1, 2))
    Q = (V.gradient(torch.eye(2)) - zero).numpy()

    def rate(_, y):
        m, C = y[:2], y[2:].reshape(2, 2)
        slope = V.gradient(torch.from_numpy(m)[None])[0].numpy()
        return np.concatenate([-slope, (-Q @ C - C @ Q + 2 * beta * np.eye(2)).ravel()])

    y0 = np.concatenate([START.mean.numpy(), START.covariance.numpy().ravel()])
    end = solve_ivp(rate, (0, t), y0, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    mean, covariance = flow.law(t)
    assert np.allclose(mean, end[:2], atol=1e-9)
    assert np.allclose(torch.as_tensor(covariance).expand(2, 2), end[2:].reshape(2, 2), atol=1e-9)
    z = torch.randn(7, 2)
    x, velocity = flow(t, z), (flow(t + h, z) - flow(t - h, z)) / (2 * h)
    score = -(x - mean) @ torch.linalg.inv(covariance)
    assert torch.allclose(velocity, -V.gradient(x) - beta * score, atol=1e-6)
    if beta == 0:
        expected = mean + (z - START.mean) @ torch.from_numpy(expm(-Q * t)).T
        assert torch.allclose(x, expected, atol=1e-12)


@pytest.mark.parametrize("name", POTENTIALS)
def test_what_cannot_be_normalised_has_no_partition_function(name):
    assert exact(POTENTIALS[name], START).log_partition() is None


def test_rounding_does_not_make_a_sum_normalisable():
    """.3 Q − .1 Q − .2 Q is 5e-17 Q in floating point."""
    terms = [(0.3, ONE), (-0.1, ONE), (-0.2, ONE)]
    assert exact(SumOfPotentials(terms), START).log_partition() is None


def test_a_distant_minimum_keeps_its_digits():
    """log ∫e^{−V/β} of a sum with its minimum at 1e6, where V(0) is 1e12."""
    far = SumOfPotentials([(2.0, Quadratic(2, 1e6, [1.0, 0.5])), (-0.5, Quadratic(2, 1e6))])
    expected = math.log(2 * math.pi * 0.7) - 0.5 * math.log(1.5 * 3.5)
    assert far.log_partition(0.7) == pytest.approx(expected, abs=1e-6)
    flow = exact(far, Gaussian(2, 1e6)).exact
    assert float((flow.law(0.5)[0] - 1e6).abs().max()) < 1e-9


def test_short_and_long_forms_are_one_flow():
    z = torch.randn(6, 3)
    for Q, C in ((2.0, 0.5), (2.0, [1.0, 0.5, 3.0]), ([1.0, 2.0, 0.3], 0.5)):
        short = exact(Quadratic(3, 1.0, Q), Gaussian(3, 0.2, C), 0.8).exact
        written = [torch.diag(torch.as_tensor(m).expand(3)) for m in (Q, C)]
        long = exact(Quadratic(3, 1.0, written[0]), Gaussian(3, 0.2, written[1]), 0.8).exact
        assert torch.allclose(short(0.4, z), long(0.4, z), atol=1e-13)
        mixed = exact(Quadratic(3, 1.0, written[0]), Gaussian(3, 0.2, C), 0.8).exact
        assert torch.allclose(mixed(0.4, z), long(0.4, z), atol=1e-13)


def test_a_million_dimensions():
    """c·I takes no memory: it took 8 TB."""
    d = 10**6
    flow = exact(Quadratic(d, 1.0, 2.0), Gaussian(d, 0.0, 0.25), 0.7).exact
    single = exact(Quadratic(1, 1.0, 2.0), Gaussian(1, 0.0, 0.25), 0.7).exact
    z = flow.start.sample(np.random.default_rng(0), 3)
    assert torch.allclose(flow(0.5, z).reshape(-1, 1), single(0.5, z.reshape(-1, 1)), atol=1e-13)
    V = flow.potential
    assert float(V(z)[0]) == pytest.approx(0.25 * float((z[0] - 1).square().sum()))
    assert len(repr(V)) + len(repr(flow.start)) < 100


def test_a_quartic_is_no_quadratic_form():
    assert (Quadratic(2) + StyblinskiTang()).hessian() is None


def attracted(k, potential, start, beta=0.6):
    parts = [InteractionEnergy(Spring(), k), Entropy(beta)]
    return Problem([*parts, *([PotentialEnergy(potential)] if potential else [])], start, 1.0).exact


@pytest.mark.parametrize("k", [1.3, -0.4])
@pytest.mark.parametrize("potential", [None, ONE, POTENTIALS["indefinite"]])
def test_an_attraction_to_the_mean_of_all(k, potential):
    """m' = −∇V(m), C' = −(Q + kI)C − C(Q + kI) + 2βI, x' = −∇V(x) − k(x − m) + βC⁻¹(x − m) by one
    independent integrator."""
    beta, t = 0.6, 0.7
    z = torch.randn(6, 2)
    gradient = (lambda x: torch.zeros_like(x)) if potential is None else potential.gradient
    Q = (gradient(torch.eye(2)) - gradient(torch.zeros(1, 2))).numpy() + k * np.eye(2)

    def rate(_, y):
        x, C = torch.from_numpy(y[:14]).view(7, 2), y[14:].reshape(2, 2)
        arms = x - x[:1]
        moved = -gradient(x) - k * arms + beta * arms @ torch.from_numpy(np.linalg.inv(C))
        spread = -Q @ C - C @ Q + 2 * beta * np.eye(2)
        return np.concatenate([moved.numpy().ravel(), spread.ravel()])

    points = torch.cat([START.mean[None], z]).numpy().ravel()
    y0 = np.concatenate([points, START.covariance.numpy().ravel()])
    end = solve_ivp(rate, (0, t), y0, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    flow = attracted(k, potential, START)
    assert np.abs(flow(t, z).numpy().ravel() - end[2:14]).max() < 1e-9
    assert np.abs(flow.law(t)[0].numpy() - end[:2]).max() < 1e-9
    assert np.abs(flow.law(t)[1].numpy().ravel() - end[14:]).max() < 1e-9


@pytest.mark.parametrize("k", [1.3, -0.4])
def test_an_attraction_between_the_components_of_a_mixture(k):
    """Every component feels the mean of all, and not its own; samples follow their equation."""
    start = Mixture([Gaussian(1, -1.0, 0.2), Gaussian(1, 2.0, 0.5)], [0.3, 0.7])
    potential, beta, t = Quadratic(1, 0.5, 2.0), 0.6, 0.3
    flow = attracted(k, potential, start)
    z = torch.linspace(-4, 6, 41, dtype=torch.float64)[:, None]

    def velocity(time, x):
        law, point = flow.law(time), torch.from_numpy(x)[:, None]
        mean = 0.5 + math.exp(-0.5 * time) * (float(start.moments()[0]) - 0.5)
        force = beta * law.score(point) + potential.gradient(point) + k * (point - mean)
        return -force[:, 0].numpy()

    path = solve_ivp(velocity, (0, t), z[:, 0].numpy(), "DOP853", rtol=1e-11, atol=1e-12)
    assert np.abs(flow(t, z)[:, 0].numpy() - path.y[:, -1]).max() < 1e-9


def test_other_interactions_have_no_map():
    for start in (START, Mixture([START, Gaussian(2)]), Barenblatt(2, 2.0)):
        parts = [InteractionEnergy(PowerLaw(4.0, 2.0)), Entropy(1.0)]
        assert Problem(parts, start, until=1.0).exact is None
    assert attracted(0.5, StyblinskiTang(), Gaussian(2)) is None
