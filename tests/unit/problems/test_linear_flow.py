"""Exact flows of Gaussians with mobility, drift and a potential that moves: against closed forms
and independent integrations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch

import hpc_wgf as wgf
from hpc_wgf.problems import KalmanFlow, LinearDrift, LinearFlow, MatrixMobility


def flow(name):
    return wgf.load_problem(name).problem


def carried_law(exact, t):
    """Mean and covariance of the images of N(m₀, C₀) under an affine map."""
    d = exact.start.dimension
    z = torch.cat([exact.start.mean[None], exact.start.mean + torch.eye(d)])
    x = exact(t, z)
    M = (x[1:] - x[0]).T
    C = exact.start.covariance
    C = C if C.ndim == 2 else torch.diag(C.expand(d))
    return x[0], M @ C @ M.T


@pytest.mark.parametrize(
    ("name", "kind"), [("anisotropic-gauss", LinearFlow), ("kalman-gauss", KalmanFlow),
                       ("linear-drift-5d", LinearFlow)]
)  # fmt: skip
def test_the_map_carries_the_start_to_the_law(name, kind):
    exact = flow(name).exact
    assert isinstance(exact, kind)
    for t in (0.0, 0.3, 2.0):
        for found, law in zip(carried_law(exact, t), exact.law(t), strict=True):
            assert torch.allclose(found, law, atol=1e-9)


def test_a_matrix_mobility_has_the_mean_of_its_exponential_and_comes_to_the_same_rest():
    problem = flow("anisotropic-gauss")
    P, B = problem.mobility.matrix, torch.tensor([[1.0, 0.4], [0.4, 2.0]])
    decayed = torch.linalg.matrix_exp(-1.3 * P @ B) @ torch.ones(2)
    assert torch.allclose(problem.exact.law(1.3)[0], decayed, atol=1e-10)
    assert torch.allclose(problem.exact.law(30.0)[1], 0.7 * torch.linalg.inv(B), atol=1e-9)


def test_the_kalman_flow_solves_its_moment_equations():
    """m' = −CB(m − μ), C' = −2CBC + 2βC and M' = (β − CB)M, integrated."""
    exact = flow("kalman-gauss").exact
    B, mu = exact.precision.numpy(), exact.centre.numpy()
    assert np.allclose(np.linalg.eigvalsh(B), [1, 100])
    assert np.allclose(mu, [1, -1])
    start = np.concatenate([np.zeros(2), exact.start.covariance.ravel(), np.eye(2).ravel()])

    def rate(_, y):
        m, C, M = y[:2], y[2:6].reshape(2, 2), y[6:].reshape(2, 2)
        dC = -2 * C @ B @ C + 2 * exact.beta * C
        dM = exact.beta * M - C @ B @ M
        return np.concatenate([-C @ B @ (m - mu), dC.ravel(), dM.ravel()])

    z = torch.tensor([[1.0, 0.5], [-2.0, 1.0]])
    for t in (0.01, 0.5, 3.0):
        y = scipy.integrate.solve_ivp(rate, (0, t), start, "Radau", rtol=1e-11, atol=1e-12).y[:, -1]
        mean, C = exact.law(t)
        assert np.allclose(mean, y[:2], atol=1e-8)
        assert np.allclose(C.ravel(), y[2:6], atol=1e-8)
        assert np.allclose(exact(t, z), y[:2] + z.numpy() @ y[6:].reshape(2, 2).T, atol=1e-7)


def test_without_diffusion_the_kalman_flow_has_its_limit():
    near, at = (
        wgf.Problem(
            [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Entropy(beta)], wgf.Gaussian(2, 1.0), 1.0,
            mobility=flow("kalman-gauss").mobility,
        ).exact
        for beta in (1e-9, 0.0)
    )  # fmt: skip
    z = torch.randn(5, 2)
    assert torch.allclose(near(0.7, z), at(0.7, z), atol=1e-8)
    assert torch.allclose(at.law(0.7)[1], torch.eye(2) / 2.4, atol=1e-12)  # C' = −2C²


def test_a_stiff_flow_takes_few_evaluations(monkeypatch):
    """Variances of N(0, I) in V = x₁²/2 + 10⁴x₂²/2 with P = diag(1, 2) and β = ½: an explicit
    method takes about 10⁵ evaluations."""
    potential = wgf.PotentialEnergy(wgf.Quadratic(2, 0.0, [1.0, 1e-4]))
    problem = wgf.Problem(
        [potential, wgf.Entropy(0.5)], wgf.Gaussian(2), until=1.0,
        mobility=MatrixMobility(2, [1.0, 2.0]),
    )  # fmt: skip
    counted, integrate = [], scipy.integrate.solve_ivp

    def counting(*arguments, **options):
        counted.append(integrate(*arguments, **options))
        return counted[-1]

    monkeypatch.setattr(scipy.integrate, "solve_ivp", counting)
    C = problem.exact.law(0.05)[1]
    slow, fast = (0.5 * r + (1 - 0.5 * r) * math.exp(-2 * k * 0.05)
                  for r, k in ((1.0, 1.0), (1e-4, 2e4)))  # fmt: skip
    assert torch.allclose(C, torch.diag(torch.tensor([slow, fast])), rtol=1e-8, atol=1e-11)
    M = problem.exact(0.05, torch.eye(2))
    assert torch.allclose(M, C.sqrt(), rtol=1e-7, atol=1e-9)
    assert counted[0].nfev < 3000


@pytest.mark.parametrize("name", ["anisotropic-gauss", "mobility-fermi"])
def test_what_cannot_be_integrated_is_not_a_number(name, monkeypatch):
    exact, integrate = flow(name).exact, scipy.integrate.solve_ivp

    def failing(*arguments, **options):
        path = integrate(*arguments, **options)
        path.success = False
        return path

    monkeypatch.setattr(scipy.integrate, "solve_ivp", failing)
    assert bool(exact(1e-3, torch.ones(1, 2)).isnan().all())


def test_the_moving_trap_has_its_modes():
    """Means follow m' = −(m − c(t)); the centre's mode has the variance s' = −2s + 2β, relative
    modes s' = −2(1 − α)s + 2β."""
    exact = flow("moving-trap").exact
    mean, C = exact.law(1.5)

    def rate(t, m):
        return 2 * np.array([math.cos(math.pi * t), math.sin(math.pi * t)]) - m

    path = scipy.integrate.solve_ivp(rate, (0, 1.5), [2.0, 0.0], rtol=1e-11, atol=1e-12)
    assert np.allclose(mean.view(50, 2), path.y[:, -1], atol=1e-9)
    for mode, stiffness in ((torch.ones(50), 1.0), (torch.eye(50)[0] - torch.eye(50)[7], 0.5)):
        mode = (mode / mode.norm()).repeat_interleave(2) * torch.tensor([1.0, 0.0]).repeat(50)
        rest = 0.25 / stiffness
        expected = rest + (0.0625 - rest) * math.exp(-2 * stiffness * 1.5)
        assert float(mode @ C @ mode) == pytest.approx(expected, abs=1e-9)


def test_a_rotation_turns_the_samples():
    turn = LinearDrift(2, [[0.0, -1.0], [1.0, 0.0]])
    problem = wgf.Problem(
        wgf.Entropy(0.0), wgf.Gaussian(2, [1.0, 0.0], 0.5), until=1.0, drift=turn
    )  # fmt: skip
    x = problem.exact(math.pi / 2, torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    assert torch.allclose(x, torch.tensor([[0.0, 2.0], [-3.0, 0.0]]), atol=1e-9)


def test_no_exact_map_is_found_where_none_is_known():
    quartic = wgf.PotentialEnergy(wgf.StyblinskiTang())
    for energy, more in (
        ([quartic, wgf.Entropy(1.0)], {"mobility": MatrixMobility(1, 2.0)}),
        ([quartic, wgf.Entropy(1.0)], {"drift": LinearDrift(1, 1.0)}),
        ([wgf.PotentialEnergy(wgf.Quadratic(1))], {"drift": lambda x: -x}),
    ):
        assert wgf.Problem(energy, wgf.Gaussian(1), until=1.0, **more).exact is None
