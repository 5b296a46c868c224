"""Named problems with an exact map: known figures of it, and that runs report errors against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import hpc_wgf as wgf
from hpc_wgf.problems.products import independent_coordinates
from hpc_wgf.problems.quantile import CoordinateFlow

_SHARES = {2.0: 0.2578, 5.0: 0.4069, 10.0: 0.5559, 20.0: 0.6738, 50.0: 0.7167}


@pytest.mark.parametrize(
    ("name", "times"), [("double-well-1d", [*_SHARES]), ("double-well-2d", [2.0])]
)
def test_mass_passes_the_barrier_of_the_double_well(name, times):
    """The shares at x₁ < 0, as a grid of 4000 cells has them, through the exact map."""
    problem = wgf.load_problem(name).problem
    levels = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    column = 0.5 + 0.3 * torch.special.ndtri(levels)
    z = torch.stack([column, *[torch.ones_like(column)] * (problem.dimension - 1)], 1)
    for t in times:
        share = float((problem.exact(t, z)[:, 0] < 0).double().mean())
        assert share == pytest.approx(_SHARES[t], abs=2e-4)


def test_the_parabola_across_the_double_well_is_an_ornstein_uhlenbeck_flow():
    z = torch.tensor([[0.5, -1.0], [0.3, 1.0], [0.7, 2.5]], dtype=torch.float64)
    x = wgf.load_problem("double-well-2d").problem.exact(1.0, z)
    alone = wgf.Problem(
        [wgf.PotentialEnergy(wgf.Quadratic(1)), wgf.Entropy(1.0)], wgf.Gaussian(1, 1.0, 0.25), 1.0
    )
    assert torch.allclose(x[:, 1:], alone.exact(1.0, z[:, 1:]), atol=1e-4)


@pytest.mark.parametrize("name", ["heat-merging-1d", "double-well-1d", "double-well-2d"])
def test_errors_against_the_exact_map_are_reported(name):
    spec = wgf.load_problem(name, "problem.until=0.04")
    summary = wgf.solve(*spec, wgf.Output(every=0.02)).summary
    assert {0.0, 0.02, 0.04} <= set(summary.times)
    assert summary.map_error_relative[0] == 0.0
    # Before, a few samples of the tails make up most of a displacement that is hardly any.
    assert 0.0 < summary.map_error_relative[-1] < 0.05


def test_the_heat_flow_in_four_dimensions():
    """x' = β C(t)⁻¹ x with C(t) = C + 2βt I, by an independent integrator."""
    problem = wgf.load_problem("heat-4d").problem
    C = problem.start.covariance.numpy()
    z = problem.start.sample(np.random.default_rng(0), 5)

    def rate(t, x):
        return np.linalg.solve(C + 2 * t * np.eye(4), x.reshape(5, 4).T).T.ravel()

    path = solve_ivp(rate, (0, 1.0), z.numpy().ravel(), "DOP853", rtol=1e-11, atol=1e-12)
    assert np.abs(problem.exact(1.0, z).numpy().ravel() - path.y[:, -1]).max() < 1e-9


def test_the_confined_porous_medium():
    """|x| = λ|z| with λ⁸ = e^{−8} + (1 − e^{−8})/8 at t = 1."""
    problem = wgf.load_problem("porous-confined").problem
    z = problem.start.sample(np.random.default_rng(0), 5)
    scale = (np.exp(-8) + (1 - np.exp(-8)) / 8) ** 0.125
    assert torch.allclose(problem.exact(1.0, z), scale * z, rtol=1e-13)


_TWO_TO_FOUR = {0.05: 4.3522, 0.1: 2.8822, 0.2: 1.2818, 0.3: 0.5737, 0.4: 0.2573}
_SECOND_MOMENT = {0.1: 3.4367, 0.4: 6.6952}


def _two(mean: float, x: np.ndarray) -> np.ndarray:
    """½N(−mean, ¼) + ½N(mean, ¼)."""
    parts = [np.exp(-2 * (x - m) ** 2) for m in (-mean, mean)]
    return np.sqrt(0.5 / np.pi) * sum(parts)


def test_two_gaussians_go_over_to_four():
    """KL to equilibrium and E|x|² as another program has them, from the finite volumes on which the
    exact map rests and through the map."""
    problem = wgf.load_problem("fp-two-to-four-2d").problem
    potential = problem.energy.potential()
    flows = [CoordinateFlow(potential.coordinate(j), 1.0, law)
             for j, law in enumerate(independent_coordinates(problem.start))]  # fmt: skip
    for t, expected in _TWO_TO_FOUR.items():
        divergence = 0.0
        for flow in flows:
            rho, centres = flow.density(t), 0.5 * (flow.faces[1:] + flow.faces[:-1])
            inner = rho > 1e-200
            ratio = np.log(rho[inner] / _two(2.0, centres[inner]))
            divergence += (rho[inner] * ratio) @ np.diff(flow.faces)[inner]
        assert divergence == pytest.approx(expected, abs=1e-4)
    z = torch.linspace(-5, 5, 4001, dtype=torch.float64)
    for t, expected in _SECOND_MOMENT.items():
        squares = problem.exact(t, torch.stack([z, z], 1)).square().numpy()
        start = np.stack([_two(1.2, z.numpy()), _two(0.0, z.numpy())], 1)
        assert (start * squares).sum() * 10 / 4000 == pytest.approx(expected, abs=2e-4)


def test_four_gaussians_in_ten_dimensions():
    """Samples start with the velocity −∇V − ∇log λ, keep to the plane of the modes, and are turned
    with the square."""
    problem = wgf.load_problem("fp-four-10d").problem
    z = problem.start.sample(np.random.default_rng(0), 200)
    velocity = -problem.energy.potential().gradient(z) - problem.start.score(z)
    t = 1e-4
    moved = (problem.exact(t, z) - z) / t
    assert float((moved - velocity).norm() / velocity.norm()) < 2e-3
    x = problem.exact(0.5, z)
    assert torch.allclose(x[:, 2:], z[:, 2:], atol=1e-3)
    turned = torch.cat([-z[:, 1:2], z[:, :1], z[:, 2:]], 1)
    expected = torch.cat([-x[:, 1:2], x[:, :1], x[:, 2:]], 1)
    assert torch.allclose(problem.exact(0.5, turned), expected, atol=1e-4)
