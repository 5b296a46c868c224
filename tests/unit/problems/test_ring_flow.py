"""Gaussians drawn to a ring by even powers: against all particles of a quadrature, and rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
import torch

from hpc_wgf.config import load_problem
from hpc_wgf.interactions import InteractionEnergy, PowerLaw
from hpc_wgf.problems import Entropy, Gaussian, PotentialEnergy, Problem, Quadratic
from hpc_wgf.problems.ring_flow import RingFlow

LAW = PowerLaw(4, 2)


def flow(d: int, *others, mean: float = 0.3, covariance: float = 0.36) -> RingFlow | None:
    energy = [InteractionEnergy(LAW, 1.5), *others]
    exact = Problem(energy, Gaussian(d, mean, covariance), until=1.0).exact
    return exact if isinstance(exact, RingFlow) else None


@pytest.mark.parametrize("d", [1, 2])
def test_it_is_the_motion_of_all_particles_of_a_quadrature(d):
    """Gauss–Hermite points in every coordinate, with a parabola about their centre."""
    exact = flow(d, PotentialEnergy(Quadratic(d, mean=0.3, covariance=2.0)))
    x, w = np.polynomial.hermite_e.hermegauss(40)
    points = 0.6 * np.stack(np.meshgrid(*[x] * d, indexing="ij"), -1).reshape(-1, d)
    weights = np.prod(np.stack(np.meshgrid(*[w / w.sum()] * d, indexing="ij"), -1), -1).ravel()

    def velocity(_, flat):
        y = flat.reshape(-1, d)
        square = (y * y).sum(1, keepdims=True)
        C = (weights[:, None] * y).T @ y
        pull = square * y + 2 * y @ C + np.trace(C) * y  # E|x − y|²(x − y), by symmetry
        return -(1.5 * (pull - y) + 0.5 * y).ravel()

    moved = scipy.integrate.solve_ivp(
        velocity, (0, 0.2), points.ravel(), "DOP853", rtol=1e-11, atol=1e-12
    ).y[:, -1].reshape(-1, d)  # fmt: skip
    found = exact(0.2, torch.from_numpy(points + 0.3)).numpy() - 0.3
    assert np.abs(found - moved).max() < 1e-8


@pytest.mark.parametrize("d", [1, 2, 7, 100])
def test_means_are_those_of_the_law(d):
    squares, weights = flow(d)._law
    assert float(weights @ squares) == pytest.approx(0.36 * d, rel=1e-12)
    assert float(weights @ squares**2) == pytest.approx(0.36**2 * d * (d + 2), rel=1e-12)
    if d == 2:  # e^c E₁(c) for the mean of 1/(c + u), u with law e^{−u}
        small = 1e-4
        mean = float(weights @ (1 / (small + squares / 0.72)))
        assert mean == pytest.approx(math.exp(small) * scipy.special.exp1(small), rel=1e-10)


def test_it_comes_to_rest_on_the_ring():
    """At |x|² (p + p(1 + 2/d)) = −k; for d = 2 at the radius 1/√3 [PWGF (5.13)]."""
    problem, _, _ = load_problem("aggregation-2d")
    z = problem.start.sample(np.random.default_rng(0), 200)
    radius = (problem.exact(60.0, z) - problem.start.mean).norm(dim=1)
    assert torch.allclose(radius, torch.full_like(radius, 3**-0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("others", "covariance"),
    [
        ([], [0.36, 0.5]),  # no rotation turns it into itself
        ([PotentialEnergy(Quadratic(2, mean=0.0))], 0.36),  # drawn to another centre
        ([Entropy(0.1)], 0.36),
        ([InteractionEnergy(LAW, -2.0)], 0.36),  # far particles leave all bounds
    ],
)
def test_where_it_is_not_known(others, covariance):
    assert flow(2, *others, covariance=covariance) is None
