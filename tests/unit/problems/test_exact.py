"""The oracles against each other, against matrix equations and against their own refinement."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from hpc_wgf import (
    Barenblatt,
    Entropy,
    Gaussian,
    InputError,
    PotentialEnergy,
    Problem,
    Quadratic,
    StyblinskiTang,
)
from hpc_wgf.problems import CharacteristicFlow, GaussianFlow, SeparableFlow
from hpc_wgf.problems.line_mixture import LineMixture
from hpc_wgf.problems.matrices import dense
from hpc_wgf.problems.potentials import SumOfPotentials
from hpc_wgf.problems.quantile import CoordinateFlow

STANDARD = LineMixture.normal(0.0, 1.0)
COVARIANCE = [[1.0, 0.4], [0.4, 0.5]]


def gaussian_flow(start_covariance, beta=1.0) -> GaussianFlow:
    return GaussianFlow(
        Quadratic(2, [1.0, -1.0], COVARIANCE), beta, Gaussian(2, [0.5, 0.0], start_covariance)
    )


@pytest.mark.parametrize("start", [1.0, [2.0, 0.5]], ids=["commuting", "not commuting"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gaussian_map_carries_the_law_and_the_flow(start, beta):
    """x = T(t, z) has the law N(m(t), C(t)), and moves by x' = −∇V(x) − β ∇log ρ(x)."""
    flow = gaussian_flow(start, beta)
    z, t, h = torch.randn(7, 2), 0.6, 1e-4
    mean, covariance = flow.law(t)
    M = flow(t, torch.cat([torch.zeros(1, 2), torch.eye(2)]))
    B = (M[1:] - M[0]).T
    assert torch.allclose(B @ dense(flow.start.covariance, 2) @ B.T, covariance, atol=1e-9)
    velocity = (flow(t + h, z) - flow(t - h, z)) / (2 * h)
    x = flow(t, z)
    score = -(x - mean) @ torch.linalg.inv(covariance)
    force = flow.potential.gradient(x) + beta * score
    assert torch.allclose(velocity, -force, atol=1e-6)


def test_gaussian_law_solves_its_matrix_equation():
    """C' = −QC − CQ + 2βI, m' = −Q(m − μ), by an independent integrator."""
    flow = gaussian_flow([2.0, 0.5], 0.7)
    Q, mu = flow.potential.precision.numpy(), flow.potential.mean.numpy()

    def rate(_, y):
        m, C = y[:2], y[2:].reshape(2, 2)
        return np.concatenate([-Q @ (m - mu), (-Q @ C - C @ Q + 1.4 * np.eye(2)).ravel()])

    y0 = np.concatenate([[0.5, 0.0], np.diag([2.0, 0.5]).ravel()])
    end = solve_ivp(rate, (0, 0.9), y0, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    mean, covariance = flow.law(0.9)
    assert np.allclose(mean, end[:2], atol=1e-9)
    assert np.allclose(covariance.ravel(), end[2:], atol=1e-9)


def test_quantile_map_agrees_with_the_gaussian_one():
    """A diagonal quadratic is separable: two independent oracles for one flow."""
    potential, start = Quadratic(2, [1.0, -2.0], [1.0, 0.25]), Gaussian(2, 0.3, [1.0, 0.6])
    exact = GaussianFlow(potential, 0.8, start)
    numerical = SeparableFlow(potential, 0.8, start)
    z = start.sample(np.random.default_rng(0), 2000)
    for t in (0.05, 0.3, 1.5):
        error = (exact(t, z) - numerical(t, z)).square().mean().sqrt()
        displacement = (exact(t, z) - z).square().mean().sqrt()
        assert float(error / displacement) < 1e-4


def test_quadratic_potentials_add_up_to_one():
    """A multiple of one, or a sum, had no exact map where its matrix is full."""
    a, b = Quadratic(2, [1.0, -1.0], COVARIANCE), Quadratic(2, 0.3, [[0.5, -0.2], [-0.2, 1.0]])
    parts = [PotentialEnergy(SumOfPotentials([(2.0, a)])), PotentialEnergy(b), Entropy(0.7)]
    problem = Problem(parts, Gaussian(2), until=1.0)
    assert isinstance(problem.exact, GaussianFlow)
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = torch.exp(-(2 * a(grid) + b(grid)) / 0.7).sum() * (24 / 1200) ** 2
    assert problem.log_partition() == pytest.approx(math.log(float(mass)), abs=1e-9)


@pytest.mark.parametrize("t", [0.02, 0.3, 2.0])
def test_quantile_map_converges(t):
    """Styblinski–Tang: the grid in use agrees with one of half the cells and twice the step as
    a second-order scheme should, and conserves mass."""
    v = StyblinskiTang().coordinate(0)
    z = torch.linspace(-3.5, 3.5, 400)
    fine = CoordinateFlow(v, 1.0, STANDARD)
    coarse = CoordinateFlow(v, 1.0, STANDARD, cells=1200, step=1e-3)
    assert float((fine(t, z) - coarse(t, z)).abs().max()) < 2e-3
    assert float((fine(t, z) - coarse(t, z)).square().mean().sqrt()) < 3e-4
    width = np.diff(fine.faces)
    assert float((fine.density(t) * width).sum()) == pytest.approx(1.0, abs=1e-11)


@pytest.mark.parametrize("deviation", [0.01, 0.1, 5.0])
def test_quantile_map_sees_the_wells_from_any_start(deviation):
    """A narrow start once narrowed the grid too, and the wells near ±2.8 were cut away. Long
    after, the quantiles are those of the stationary law whatever the start."""
    v = StyblinskiTang().coordinate(0)
    flow = CoordinateFlow(v, 1.0, LineMixture.normal(0.0, deviation))
    assert flow.faces[0] < -4.5
    assert flow.faces[-1] > 4.5
    fine = CoordinateFlow(
        v, 1.0, LineMixture.normal(0.0, deviation), cells=2 * len(flow.faces), step=2.5e-4
    )
    z = deviation * torch.linspace(-3, 3, 200)
    displacement = float((fine(0.3, z) - z).square().mean().sqrt())
    assert float((flow(0.3, z) - fine(0.3, z)).square().mean().sqrt()) < 2e-3 * displacement


@pytest.mark.parametrize("t", [1e-5, 1e-4, 1e-3, 5e-3])
@pytest.mark.parametrize("covariance", [2e-3, 0.5], ids=["stiff", "soft"])
def test_quantile_map_at_early_times(covariance, t):
    """Time steps were the same whatever the flow, the first ones of first order: off by 17 %."""
    q, start = Quadratic(1, 0.2, covariance), Gaussian(1, 0.0, 0.25)
    exact, numerical = GaussianFlow(q, 0.5, start), SeparableFlow(q, 0.5, start)
    z = start.sample(np.random.default_rng(0), 500)
    (flow, _), *_ = numerical._coordinates
    error = (exact(t, z)[:, 0] - flow(t, z[:, 0])).norm()
    assert float(error / (exact(t, z) - z).norm()) < 3e-3


def test_a_flow_that_the_grid_does_not_resolve_has_no_exact_map():
    numerical = SeparableFlow(Quadratic(1, 0.2, 2.0), 1e-4, Gaussian(1, 0.0, 100.0))
    z = 10 * torch.linspace(-2, 2, 50)[:, None]
    assert bool(numerical(0.5, z).isnan().all())
    assert torch.equal(numerical(0.0, z), z)


def test_quantile_map_ends_at_the_stationary_law():
    v = StyblinskiTang().coordinate(0)
    flow = CoordinateFlow(v, 1.0, STANDARD, step=0.5)
    centres = 0.5 * (flow.faces[1:] + flow.faces[:-1])
    stationary = np.exp(-v(torch.from_numpy(centres)).numpy())
    stationary /= stationary.sum() * np.diff(flow.faces)
    assert np.abs(flow.density(5000.0) - stationary).max() < 1e-6


def test_quantile_map_is_monotone_far_into_the_tails():
    flow = CoordinateFlow(StyblinskiTang().coordinate(0), 1.0, STANDARD)
    x = flow(0.4, torch.linspace(-7, 7, 3000))
    assert (x.diff() > 0).all()
    assert torch.isfinite(x).all()


def test_times_may_be_asked_for_in_any_order():
    """A resumed run asks for other times first than the whole one did, and must see the same
    exact map to the last bit."""
    v = StyblinskiTang().coordinate(0)
    late_first, in_order = (CoordinateFlow(v, 1.0, STANDARD) for _ in range(2))
    z = torch.linspace(-2, 2, 50)
    late_first(0.4, z)
    in_order(0.20003, z)
    assert torch.equal(late_first(0.20003, z), in_order(0.20003, z))
    assert torch.equal(late_first(0.4, z), in_order(0.4, z))


def test_problems_find_their_exact_map():
    def exact(potential, start, beta=1.0):
        parts = [PotentialEnergy(potential), Entropy(beta)]
        return Problem(parts, start, until=1.0).exact

    assert isinstance(exact(Quadratic(2), Gaussian(2)), GaussianFlow)
    assert isinstance(exact(StyblinskiTang(), Gaussian(2)), SeparableFlow)
    assert exact(StyblinskiTang(), Gaussian(2, 0.0, COVARIANCE)) is None
    assert isinstance(exact(StyblinskiTang(), Gaussian(2), beta=0.0), CharacteristicFlow)
    profile = Barenblatt(2, m=2.0, time=1.0)
    alone = Problem(PotentialEnergy(Quadratic(2)), profile, until=1.0).exact
    assert isinstance(alone, CharacteristicFlow)
    assert exact(Quadratic(2), profile) is None


@pytest.mark.parametrize(("mean", "variance", "time"), [(0.0, 1.0, 0.3), (2.0, 0.01, 0.05)])
def test_weak_diffusion_is_resolved_or_left_out(mean, variance, time):
    """Fluxes are upwind there: maps were off by two and three thousandths of the displacement."""
    start = Gaussian(1, mean, variance)
    z = mean + variance**0.5 * torch.linspace(-2, 2, 11, dtype=torch.float64)[:, None]
    x = SeparableFlow(StyblinskiTang(), 1e-6, start)(time, z)
    path = solve_ivp(
        lambda _, y: -0.06 * (4 * y**3 - 32 * y + 5), (0, time), z[:, 0].numpy(), rtol=1e-10
    )
    drifted = torch.from_numpy(path.y[:, -1:])  # diffusion adds next to nothing
    error = float((x - drifted).norm() / (drifted - z).norm())
    assert error < 1e-3 or bool(x.isnan().all())
    assert not bool(SeparableFlow(StyblinskiTang(), 1.0, start)(time, z).isnan().any())


class Raised(StyblinskiTang):
    """V of its own, with the coordinates of another."""

    def __call__(self, x):
        return super().__call__(x) + (x**2).sum(1)


class Steepened(Quadratic):
    """V of its own, with the Hessian of another."""

    def __call__(self, x):
        return super().__call__(x) + (x**4).sum(1)


@pytest.mark.parametrize(
    ("potential", "method"), [(Raised(), "coordinate"), (Steepened(2), "hessian")]
)
def test_a_potential_must_be_what_it_says(potential, method):
    """The exact map was that of the potential from which the method was taken."""
    with pytest.raises(InputError, match=f"override {method} too"):
        Problem([PotentialEnergy(potential), Entropy()], Gaussian(2), until=1.0)
