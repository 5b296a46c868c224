"""Separable flows by finite volumes: the grid holds and resolves what is reached, or says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from hpc_wgf import (
    Entropy,
    Gaussian,
    Mixture,
    PotentialEnergy,
    Problem,
    Quadratic,
    StyblinskiTang,
)
from hpc_wgf.problems import GaussianFlow, MixtureFlow, Potential, SeparableFlow


class Separable(Potential):
    """V(x) = Σ_j v_j(x_j) of given functions, the last of which goes on."""

    def __init__(self, *functions):
        self.functions = functions

    def coordinate(self, j):
        return self.functions[min(j, len(self.functions) - 1)]

    def __call__(self, x):
        return sum(self.coordinate(j)(x[:, j]) for j in range(x.shape[1]))


def flow(functions, beta: float, start: Gaussian):
    exact = Problem([PotentialEnergy(Separable(*functions)), Entropy(beta)], start, 1.0).exact
    assert isinstance(exact, SeparableFlow)
    return exact


def quantiles(mean: float, deviation: float, count: int = 2000) -> torch.Tensor:
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (mean + deviation * torch.special.ndtri(levels))[:, None]


def tilted(x):
    return 4 * (x * x - 1) ** 2 + 0.8 * x


def test_a_well_that_the_start_does_not_reach_is_kept():
    """Within either well the law is soon that of e^{−V/β}; the grid ended before the right one."""
    x = flow([tilted], 0.05, Gaussian(1, 0.05, 0.01))(1.0, quantiles(0.05, 0.1))
    weight = lambda x: np.exp(-tilted(x) / 0.05)  # noqa: E731
    mass, _ = integrate.quad(weight, 0.0502, 2.0, points=[0.97])
    first, _ = integrate.quad(lambda x: x * weight(x), 0.0502, 2.0, points=[0.97])
    assert float(x[x > 0.3].mean()) == pytest.approx(first / mass, abs=2e-3)
    assert float((x > 0).double().mean()) == pytest.approx(0.498, abs=0.01)


def test_a_potential_that_does_not_confine_has_no_map_once_mass_has_left():
    """x' = x³ reaches infinity at the time 1/(2x²): all beyond 3.2 by t = 0.05."""
    escaping = flow([lambda x: -0.25 * x**4], 0.5, Gaussian(1))
    z = quantiles(0.0, 1.0, 200)
    velocity = z**3 + 0.5 * z  # −V' − β ∂ log λ
    moved = (escaping(1e-4, z) - z) / 1e-4
    assert float((moved - velocity).norm() / velocity.norm()) < 5e-3
    assert bool(escaping(0.05, z).isnan().all())


def test_a_barrier_holds_though_the_potential_falls_beyond_it():
    """½x² up to |x| = 8, where V/β = 320, and falling outside."""
    held = flow([lambda x: 0.5 * x * x - 1.9 * (x.abs() - 8).clamp(min=0) ** 2], 0.1, Gaussian(1))
    z = quantiles(0.0, 1.0)
    expected = GaussianFlow(Quadratic(1), 0.1, Gaussian(1))(0.5, z)
    assert float((held(0.5, z) - expected).norm() / (expected - z).norm()) < 1e-3


def test_a_potential_that_ends_at_a_wall():
    """e^{−V} with V = 16x − 64 log x is the density of a gamma law; not-a-number for x < 0."""
    z = quantiles(4.0, 0.3)
    x = flow([lambda x: 16 * x - 64 * x.log()], 1.0, Gaussian(1, 4.0, 0.09))(3.0, z)
    expected = stats.gamma(65, scale=1 / 16).ppf((np.arange(2000) + 0.5) / 2000)
    assert np.abs(x[:, 0].numpy() - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("covariance", "beta", "start", "t"),
    [(2e6, 0.5, 0.01, 0.01), (2e6, 0.5, 0.01, 0.5), (1e-3, 1.0, 25.0, 0.02)],
    ids=["narrow start, early", "narrow start, late", "narrow well"],
)
def test_start_and_well_of_different_size_are_both_resolved(covariance, beta, start, t):
    """Stationary deviations of 1000 from a start of 0.1, and of 0.03 from one of 5."""
    potential, start = Quadratic(1, 0.2, covariance), Gaussian(1, 0.0, start)
    z = quantiles(0.0, float(start.covariance) ** 0.5, 200)
    expected = GaussianFlow(potential, beta, start)(t, z)
    found = SeparableFlow(potential, beta, start)(t, z)
    assert float((found - expected).norm() / (expected - z).norm()) < 1e-3


def walls(strength: float):
    return lambda x: 0.5 * x**2 + strength * (x.abs() - 3).clamp(min=0) ** 3


def test_coordinates_that_differ_anywhere_are_told_apart():
    """Both are ½x² for |x| < 3."""
    start, z = Gaussian(2), torch.tensor([[2.0, 2.0], [-2.5, -2.5]], dtype=torch.float64)
    weak, strong = walls(0.5), walls(200.0)
    x = flow([weak, strong], 6.0, start)(0.1, z)
    assert torch.equal(x, flow([strong, weak], 6.0, start)(0.1, z).flip(1))
    assert float((x[:, 0] - x[:, 1]).abs().min()) > 0.01


def test_equal_coordinates_are_solved_once():
    equal = [flow([walls(0.5), walls(0.5)], 6.0, Gaussian(2)),
             SeparableFlow(StyblinskiTang(), 1.0, Gaussian(30))]  # fmt: skip
    for separable in equal:
        assert len({id(pair) for pair in separable._coordinates}) == 1


TWO = Mixture([Gaussian(1, -1.2, 0.05), Gaussian(1, 1.0, 0.2)], [0.4, 0.6])


def test_quantile_map_from_a_mixture_agrees_with_that_of_distribution_functions():
    """Through both components and the gap between them, 4 deviations wide."""
    z = TWO.sample(np.random.default_rng(0), 4000)
    V = Quadratic(1, 0.5, 0.8)
    for t in (1e-3, 0.05, 0.4):
        expected = MixtureFlow(V, 0.5, TWO)(t, z)
        found = SeparableFlow(V, 0.5, TWO)(t, z)
        assert float((found - expected).norm() / (expected - z).norm()) < 2e-4


def distribution_by_eigenfunctions(V, beta: float, start: Mixture, t: float, x: np.ndarray):
    """F_t(x) by e^{−Ht}, H = −β∂² + V'²/(4β) − V''/2 the operator of u = e^{V/(2β)} ρ on sinc
    functions, and F by integrals of these."""
    count, half = 400, 4.0
    grid = np.linspace(-half, half, count)
    h = grid[1] - grid[0]
    point = torch.from_numpy(grid)[:, None].requires_grad_()
    (slope,) = torch.autograd.grad(V(point).sum(), point, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), point)
    values, slope = V(point).detach().numpy(), slope.detach().numpy()[:, 0]
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    with np.errstate(divide="ignore"):
        kinetic = np.where(apart == 0, np.pi**2 / 3, 2.0 * (-1.0) ** apart / apart**2.0) / h**2
    H = beta * kinetic + np.diag(slope**2 / (4 * beta) - 0.5 * bend.numpy()[:, 0])
    energies, modes = np.linalg.eigh(H)
    root = np.exp(-values / (2 * beta))
    rho = np.exp(start.log_density(point.detach()).numpy()) / root
    rho = root * (modes @ (np.exp(-energies * t) * (modes.T @ rho)))
    steps = np.pi * np.subtract.outer(x, grid) / h
    return h * (0.5 + special.sici(steps)[0] / np.pi) @ rho


def test_quantile_map_from_a_mixture_in_many_wells():
    """F_t(T(z)) = F_0(z), F_t by an expansion that is accurate to rounding errors."""
    V, beta, t = Separable(lambda x: 0.5 * x * x + torch.cos(3 * x)), 0.4, 0.25
    flow = Problem([PotentialEnergy(V), Entropy(beta)], TWO, until=1.0).exact
    z = torch.linspace(-1.7, 2.0, 75, dtype=torch.float64)[:, None]
    start, moved = (
        distribution_by_eigenfunctions(V, beta, TWO, time, places[:, 0].numpy())
        for time, places in ((0.0, z), (t, flow(t, z)))
    )
    normal = [stats.norm(m, s**0.5).cdf(z[:, 0]) for m, s in ((-1.2, 0.05), (1.0, 0.2))]
    assert np.abs(start - 0.4 * normal[0] - 0.6 * normal[1]).max() < 1e-10
    assert np.abs(moved - start).max() < 1e-5
