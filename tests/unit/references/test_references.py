"""The finite-volume references against closed solutions, invariants and their stored results."""

from __future__ import annotations

from math import gamma, pi
from pathlib import Path

import numpy as np
import pytest
from scipy.special import beta as euler_beta
from scipy.special import ndtr

from hpc_wgf.errors import InputError
from hpc_wgf.references import (
    GradientFlow,
    Grid,
    cell_averages,
    coarsened,
    evolve,
    product_averages,
)
from hpc_wgf.references.__main__ import REFERENCES

STORED = Path(__file__).parents[3] / "data/references"


def gaussian_kernel(*x):
    return -np.exp(-sum(c**2 for c in x)) / pi


def rough_start(grid: Grid) -> np.ndarray:
    """Mass 1: a smooth hill and a jump down to vacuum, not symmetric about anything."""
    hill = product_averages(grid, [lambda x: ndtr((x - 0.6) / 0.25)] * grid.dimension)
    box = product_averages(grid, [lambda x: np.clip((x + 1.2) / 0.9, 0, 1)] * grid.dimension)
    return 0.7 * hill + 0.3 * box


def medium(dimension: int) -> GradientFlow:
    """Porous medium and attraction, on cells that are not square."""
    cells = (120,) if dimension == 1 else (60, 72)
    grid = Grid((-2.5,) * dimension, (2.7,) * dimension, cells)
    return GradientFlow(grid, exponent=3.0, diffusion=0.5, kernel=gaussian_kernel)


class Barenblatt:
    """ρ = t^{−α} (C − k|x|² t^{−2β})₊^{1/(m−1)}, of mass 1; every point moves as x ∝ t^β."""

    def __init__(self, dimension: int, m: float):
        self.m = m
        self.alpha = dimension / (dimension * (m - 1) + 2)
        self.beta = self.alpha / dimension
        self.k = (m - 1) * self.alpha / (2 * m * dimension)
        half = dimension / 2
        self.C = (
            (self.k / pi) ** half * gamma(half) / euler_beta(half, m / (m - 1))
        ) ** (1 / (half + 1 / (m - 1)))  # fmt: skip

    def averages(self, grid: Grid, t: float) -> np.ndarray:
        def density(*x):
            inside = self.C - self.k * sum(c**2 for c in x) * t ** (-2 * self.beta)
            return t**-self.alpha * np.clip(inside, 0, None) ** (1 / (self.m - 1))

        return cell_averages(grid, density, 8)

    def radius(self, t: float) -> float:
        return (self.C / self.k) ** 0.5 * t**self.beta


def barenblatt_errors(dimension: int, m: float, n: int) -> tuple[float, float]:
    """L¹ error of the density and root mean square of the tracers', from t = 0.2 to 1."""
    exact = Barenblatt(dimension, m)
    grid = Grid((-2.4,) * dimension, (2.4,) * dimension, (n,) * dimension)
    rng = np.random.default_rng(1)
    radius = exact.radius(0.2) * rng.uniform(0, 1, (500, 1)) ** (1 / dimension)
    direction = rng.standard_normal((500, dimension))
    z = radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    flow = GradientFlow(grid, exponent=m, diffusion=1.0)
    end = evolve(flow, exact.averages(grid, 0.2), [0.2, 1.0], z)
    density_error = np.abs(end.density[-1] - exact.averages(grid, 1.0)).sum() * grid.volume
    tracer_error = end.tracers[-1] - z * 5.0**exact.beta
    return float(density_error), float(np.sqrt((tracer_error**2).sum(1).mean()))


@pytest.mark.parametrize(
    ("dimension", "m", "density", "tracers"),
    [(1, 2.0, 1e-4, 7e-3), (1, 3.0, 4e-4, 5e-3), (2, 2.0, 2e-4, 9e-3), (2, 3.0, 1.2e-3, 7e-3)],
)
def test_barenblatt_density_and_tracers_converge(dimension, m, density, tracers):
    """Tracers lose half an order at the edge of the support, where the pressure has a kink."""
    coarse = barenblatt_errors(dimension, m, 60)
    fine = barenblatt_errors(dimension, m, 120)
    print(coarse, fine)
    assert fine[0] < density
    assert fine[1] < tracers
    assert fine[0] < 0.45 * coarse[0]
    assert fine[1] < 0.5 * coarse[1]


@pytest.mark.parametrize("dimension", [1, 2])
def test_mass_is_conserved_and_density_positive(dimension):
    flow = medium(dimension)
    start = rough_start(flow.grid)
    run = evolve(flow, start, [0.0, 0.01, 0.1, 0.5])
    mass = run.density.reshape(4, -1).sum(1) * flow.grid.volume
    print(mass - mass[0], run.density.min())
    assert np.abs(mass - mass[0]).max() < 1e-12
    assert run.density.min() >= 0.0


@pytest.mark.parametrize("dimension", [1, 2])
def test_energy_falls(dimension):
    flow = medium(dimension)
    run = evolve(flow, rough_start(flow.grid), list(np.linspace(0.0, 1.0, 21)))
    print(run.energy)
    assert (np.diff(run.energy) < 0).all()
    assert run.energy[-1] < run.energy[0] - 0.02


@pytest.mark.parametrize("dimension", [1, 2])
def test_energy_is_spent_as_the_tracers_move(dimension):
    """dF/dt = −∫ρ|∇ξ|² = −E|x'|²: F, its gradient and the tracers fit together."""
    flow = medium(dimension)
    grid = flow.grid
    rho = product_averages(grid, [lambda x: ndtr((x - 0.6) / 0.35)] * dimension)
    axes = np.meshgrid(*(grid.centres(axis) for axis in range(dimension)), indexing="ij")
    z = np.stack([a.ravel() for a in axes], 1)
    run = evolve(flow, rho, [0.0, 0.10, 0.11], z)
    velocity = (run.tracers[2] - run.tracers[1]) / 0.01
    dissipated = (velocity**2).sum(1) @ rho.ravel() * grid.volume
    slope = (run.energy[2] - run.energy[1]) / 0.01
    print(slope, dissipated)
    assert slope == pytest.approx(-dissipated, rel=0.01 if dimension == 1 else 0.04)


@pytest.mark.parametrize("dimension", [1, 2])
def test_centre_of_mass_is_fixed(dimension):
    flow = medium(dimension)
    run = evolve(flow, rough_start(flow.grid), [0.0, 0.5, 1.0])
    print(run.mean - run.mean[0])
    assert np.abs(run.mean - run.mean[0]).max() < 1e-4
    assert np.abs(run.mean[0]).min() > 0.1


@pytest.mark.parametrize("dimension", [1, 2])
def test_quadratic_attraction_contracts_exactly(dimension):
    """W = |x|²/2: x − E x = e^{−t} (z − E z)."""
    cells = (300,) if dimension == 1 else (100, 120)
    grid = Grid((-2.0,) * dimension, (3.0,) * dimension, cells)
    flow = GradientFlow(grid, kernel=lambda *x: 0.5 * sum(c**2 for c in x))
    deviations, means = (0.4, 0.3)[:dimension], (0.3, 0.6)[:dimension]
    start = product_averages(
        grid,
        [lambda x, m=m, s=s: ndtr((x - m) / s) for m, s in zip(means, deviations, strict=True)],
    )
    z = np.random.default_rng(2).uniform(-0.9, 1.8, (200, dimension))
    run = evolve(flow, start, [0.0, 0.3, 1.0], z)
    shrink = np.exp(-run.times)[:, None, None]
    error = np.abs(run.tracers - means - shrink * (z - means)).max()
    variance = run.second_moment - (run.mean**2).sum(1)
    exact = sum(s**2 for s in deviations) * np.exp(-2 * run.times)
    print(error, variance / exact - 1)
    assert error < 1e-5
    assert np.abs(variance / exact - 1).max() < 0.02


def test_convolution_is_the_sum_over_cells():
    flow = GradientFlow(
        Grid((-1.0, -2.0), (1.5, 2.0), (7, 10)), kernel=lambda x, y: np.cos(x) * y**2
    )
    rho = np.random.default_rng(3).random((7, 10))
    x, y = np.meshgrid(flow.grid.centres(0), flow.grid.centres(1), indexing="ij")
    dx, dy = x[..., None, None] - x, y[..., None, None] - y
    direct = (np.cos(dx) * dy**2 * rho).sum((2, 3)) * flow.grid.volume
    print(np.abs(flow.interaction(rho) - direct).max())
    assert np.allclose(flow.interaction(rho), direct, atol=1e-12)


def test_energy_and_moments_of_a_gaussian():
    """F = c/2 ∫ρ³ − 1/(2π) E e^{−|X−Y|²} with ρ = N(μ, s I): ∫ρ³ = (2πs)^{−2}/3, and the
    expectation is 1/(1 + 4s)."""
    s, c = 0.1, 0.5
    grid = Grid((-2.0, -2.0), (2.5, 2.5), (150, 150))
    rho = product_averages(
        grid, [lambda x: ndtr((x - 0.2) / s**0.5), lambda x: ndtr((x - 0.4) / s**0.5)]
    )
    run = evolve(GradientFlow(grid, exponent=3.0, diffusion=c, kernel=gaussian_kernel), rho, [0.0])
    exact = c / 2 * (2 * pi * s) ** -2 / 3 - 0.5 / pi / (1 + 4 * s)
    print(run.energy[0] - exact, run.mean, run.second_moment - 0.4)
    assert run.energy[0] == pytest.approx(exact, abs=1e-3)
    assert run.mean[0] == pytest.approx([0.2, 0.4], abs=1e-6)
    assert run.second_moment[0] == pytest.approx(0.2 + 0.04 + 0.16, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "factor", "tracers", "energy"),
    [
        ("porous-mixture-1d", 8, 1e-3, 2e-4),
        ("porous-mixture-2d", 4, 3e-3, 5e-4),
        ("porous-box-1d", 6, 2e-3, 6e-5),
        ("porous-ramp-1d", 6, 2e-3, 1e-4),
        ("aggregation-diffusion-2d", 6, 2e-2, 3e-4),
    ],
)
def test_stored_reference_is_what_its_definition_gives(name, factor, tracers, energy):
    """Solved again on a coarse grid from the stored samples."""
    reference = REFERENCES[name]
    stored = np.load(STORED / f"{name}.npz")
    displacement = np.sqrt(((stored["x"][-1] - stored["z"]) ** 2).sum(1).mean())
    assert stored["tracer_error"] < 3e-3 * displacement
    assert np.array_equal(stored["x"][0], stored["z"])
    grid = reference.grid.coarser(factor)
    run = reference.solve(grid, reference.times, stored["z"])
    x = run.tracers[:: reference.tracers_every]
    error = np.sqrt(((stored["x"] - x) ** 2).sum(2).mean(1))
    assert error.max() < tracers
    assert stored["energy"] == pytest.approx(run.energy, abs=energy)
    # The samples are the start's: their moments are those of the density.
    moment = (stored["z"].astype(float) ** 2).sum(1)
    spread = moment.std() / len(moment) ** 0.5
    assert abs(moment.mean() - stored["second_moment"][0]) < 4 * spread


def test_blocks_keep_the_mass():
    rho = np.random.default_rng(4).random((6, 9))
    blocks = coarsened(rho, 3)
    assert blocks.shape == (2, 3)
    assert blocks[1, 2] == pytest.approx(rho[3:, 6:].mean())


def test_requests_that_cannot_be_met_are_refused():
    grid = Grid((0.0,), (1.0,), (10,))
    flow = GradientFlow(grid)
    with pytest.raises(InputError, match="do not fit"):
        evolve(flow, np.ones(9), [0.0, 1.0])
    with pytest.raises(InputError, match="do not fit"):
        evolve(flow, np.ones(10), [0.0, 1.0], np.zeros((3, 2)))
    with pytest.raises(InputError, match="negative"):
        evolve(flow, -np.ones(10), [0.0, 1.0])
    with pytest.raises(InputError, match="rise"):
        evolve(flow, np.ones(10), [0.0, 0.0])
    with pytest.raises(InputError, match="m > 1"):
        GradientFlow(grid, exponent=1.0)
    with pytest.raises(InputError, match="at least 4"):
        Grid((0.0,), (1.0,), (3,))
    with pytest.raises(InputError, match="joined"):
        grid.coarser(3)
