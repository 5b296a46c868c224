"""Potentials that fall without bound are said before the run."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.checks.bounded import falling_share, start_warnings
from hpc_wgf.config import catalogue, load


def share(function, dimension=2, start=None, dtype=torch.float64) -> float:
    potential = wgf.PotentialEnergy(wgf.UserPotential(function, "V"))
    problem = wgf.Problem(
        [potential, wgf.Entropy(1.0)], start or wgf.Gaussian(dimension), until=1.0
    )
    return falling_share(problem, torch.zeros(1, dimension, dtype=dtype))


MIXTURE = wgf.GaussianMixture([[-2.0, 0.0], [2.0, 0.0]], 0.05, [3.0, 1.0])
NARROW = wgf.Gaussian(2, 0.0, 1e-8)  # beyond its samples a double well falls for long


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: -MIXTURE(x), 1.0),
        (lambda x: -MIXTURE(x) + 3e4, 1.0),
        (lambda x: -2 * torch.log1p((x * x).sum(1)), 1.0),  # log of Student's density
        (lambda x: x[:, 0] ** 2 - x[:, 1] ** 2, 0.5),  # a saddle
        (lambda x: x[:, 0], 0.5),
    ],
)
def test_what_has_no_lower_bound_is_found(function, expected, dtype):
    assert share(function, dtype=dtype) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("start", [None, NARROW])
@pytest.mark.parametrize(
    "function",
    [
        MIXTURE,
        lambda x: MIXTURE(x) - 3e4,
        lambda x: ((x * x - 1) ** 2).sum(1),  # double wells
        lambda x: 2 * torch.log1p((x * x).sum(1)),
        lambda x: (3 * x).cos().sum(1),
        lambda x: torch.exp(-(x * x).sum(1)),  # falls to 0
        lambda x: 1 / (1 + (x * x).sum(1)).sqrt(),
        lambda x: torch.zeros_like(x[:, 0]),
        lambda x: x[:, 0].abs() + x[:, 1].tanh(),
    ],
)
def test_what_has_one_is_not(function, start, dtype):
    assert share(function, start=start, dtype=dtype) == 0.0


@pytest.mark.parametrize("name", catalogue.names())
def test_the_named_problems_have_one(name):
    problem = load(name).problem.build()
    assert start_warnings(problem, torch.zeros(1, problem.dimension, dtype=torch.float64)) == []


def test_a_log_density_taken_for_minus_it_is_said_before_and_after(tmp_path, capsys):
    """The energy fell without bound, as an energy does."""
    log_density = wgf.UserPotential(lambda x: -0.5 * (x * x).sum(1), "log_prob")
    problem = wgf.Problem(
        [wgf.PotentialEnergy(log_density), wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.02
    )
    options = wgf.PWGFOptions(samples=100, step_size=0.01)
    likely = r"its sign is wrong: give V = −log π \(factor = -1 in a run file\)"
    with pytest.warns(UserWarning, match=likely):
        wgf.solve(problem, wgf.Affine(2), options, wgf.Output(tmp_path / "run", every=0.01))
    summary = wgf.Summary.of_store(wgf.open_run(tmp_path / "run"))
    assert "falls without bound along 100% of the rays" in summary.start_warnings[0]
    wgf.solve(problem, wgf.Affine(2), options, show_progress=True)
    assert "warning: the potential falls without bound" in capsys.readouterr().err
