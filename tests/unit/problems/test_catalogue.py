"""Named problems with an exact map: known figures of it, and that runs report errors against it."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf

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
