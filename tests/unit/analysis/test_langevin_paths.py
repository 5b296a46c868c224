"""Exact densities by Langevin paths, against closed forms and against a matrix exponential."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis.langevin_paths import LangevinPaths


def points(start: wgf.Gaussian | wgf.Mixture, count: int) -> torch.Tensor:
    return start.sample(np.random.default_rng(7), count)


def test_an_ornstein_uhlenbeck_flow_is_exact_with_few_paths_and_steps():
    """The tilted process is that of the flow reversed: every path has the same weight."""
    start = wgf.Gaussian(3, [0.5, 0.0, -2.0], [[1.0, 0.3, 0.0], [0.3, 2.0, 0.0], [0.0, 0.0, 0.4]])
    potential = wgf.Quadratic(3, 1.0, [[0.5, 0.2, 0.0], [0.2, 1.0, 0.1], [0.0, 0.1, 3.0]])
    problem = wgf.Problem([wgf.PotentialEnergy(potential), wgf.Entropy(0.7)], start, until=0.9)
    x = points(wgf.Gaussian(3, 0.5, 1.5), 50)
    found = LangevinPaths(problem, 0.9, x).means(x, paths=4, steps=3, key=(0,))
    expected = wgf.Gaussian(3, *problem.exact.law(0.9)).log_density(x)
    assert float((found.log_density - expected).abs().max()) < 1e-11
    assert torch.allclose(found.shares, torch.tensor(0.25, dtype=torch.float64))


def test_a_start_at_equilibrium_stays_there():
    wells = wgf.UserPotential(lambda x: wgf.Gaussian(2, 1.0, 0.3).log_density(x) * -2.0)
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wells), wgf.Entropy(2.0)], wgf.Gaussian(2, 1.0, 0.3), until=1.0
    )
    x = points(wgf.Gaussian(2), 40)
    found = LangevinPaths(problem, 1.0, x).means(x, paths=2, steps=2, key=(3,))
    assert torch.allclose(found.log_density, problem.start.log_density(x), atol=1e-11, rtol=0)


def backward(V: Callable[[np.ndarray], np.ndarray], t: float, x: np.ndarray) -> np.ndarray:
    """log ρ_t at x for V from N(.6, .5), β = 1: the backward equation in finite volumes."""
    grid = np.linspace(-4, 4, 801)
    size, middle = grid[1] - grid[0], 0.5 * (grid[1:] + grid[:-1])
    up = np.exp(V(grid[:-1]) - V(middle)) / size**2
    down = np.exp(V(grid[1:]) - V(middle)) / size**2
    L = np.diag(up, 1) + np.diag(down, -1)
    L -= np.diag(L.sum(1))
    h0 = np.exp(V(grid) - (grid - 0.6) ** 2) / np.pi**0.5
    return np.log(scipy.interpolate.CubicSpline(grid, scipy.linalg.expm(t * L) @ h0)(x)) - V(x)


@pytest.mark.parametrize(
    ("V", "steps", "number"),
    [
        (lambda x: x**4 / 4 - x**2 / 2, 16, 16_000),
        (lambda x: x**2 / 2 + (1 + x * x) ** 0.5, 4, 4000),
    ],
    ids=["over a barrier", "steps of a sixth of the time scale"],
)
def test_the_backward_equation(V, steps, number):
    """Within the noise of the paths at every point, and of their mean: Euler's flow is not."""
    potential = wgf.UserPotential(lambda x: V(x).sum(1), "V")
    energy = [wgf.PotentialEnergy(potential), wgf.Entropy(1.0)]
    problem = wgf.Problem(energy, wgf.Gaussian(1, 0.6, 0.5), until=0.7)
    x = torch.linspace(-1.8, 1.8, 60, dtype=torch.float64)[:, None]
    expected = torch.from_numpy(backward(V, 0.7, x[:, 0].numpy()))
    found = LangevinPaths(problem, 0.7, x).means(x, paths=number, steps=steps, key=(0,))
    off = found.log_density - expected
    assert abs(float(off.mean())) < 3 * float(found.shares.mean() / len(x)) ** 0.5
    assert float(off.square().mean()) < 2 * float(found.shares.mean())
    assert float(found.shares.mean()) < 2 / number


def test_without_potential_the_heat_equation():
    start = wgf.Mixture([wgf.Gaussian(2, -1.0, 0.2), wgf.Gaussian(2, 2.0, 0.5)], [0.3, 0.7])
    problem = wgf.Problem(wgf.Entropy(0.5), start, until=0.4)
    then = wgf.Mixture([wgf.Gaussian(2, -1.0, 0.6), wgf.Gaussian(2, 2.0, 0.9)], [0.3, 0.7])
    x = points(then, 200)
    found = LangevinPaths(problem, 0.4, x).means(x, paths=2000, steps=4, key=(0,))
    off = found.log_density - then.log_density(x)
    assert float(off.square().mean()) < 1.5 * float(found.shares.mean())
    assert float(found.shares.mean()) < 0.01


def test_paths_that_leave_where_the_potential_is_known_are_none():
    arc = wgf.UserPotential(lambda x: -(4 - x * x).sqrt().sum(1))
    problem = wgf.Problem(
        [wgf.PotentialEnergy(arc), wgf.Entropy(1.0)], wgf.Gaussian(1, 0.0, 0.1), 1.0
    )
    x = points(problem.start, 20)
    assert LangevinPaths(problem, 1.0, x).means(x, paths=50, steps=4, key=(0,)) is None


def test_the_same_key_gives_the_same_paths():
    mild = wgf.Problem([wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)],
                       wgf.Gaussian(2), until=0.2)  # fmt: skip
    z = points(wgf.Gaussian(2), 20)
    ones, same, others = (
        LangevinPaths(mild, 0.2, z).means(z, paths=50, steps=2, key=(key,)) for key in (0, 0, 1)
    )
    assert torch.equal(ones.halves, same.halves)
    assert not torch.equal(ones.halves, others.halves)
