"""Neither the unit of length nor the origin of x changes a flow."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.methods.pwgf.units import reciprocal_condition
from hpc_wgf.problems.matrices import dense


def solved(unit: float = 1.0, origin: float = 0.0, until: float = 0.7, **options) -> wgf.Summary:
    """An Ornstein–Uhlenbeck flow, which an affine map follows exactly, in other units of x, and
    of time by their square, about another origin."""
    potential = wgf.PotentialEnergy(wgf.Quadratic(2, origin, unit**2))
    start = wgf.Gaussian(2, origin + 2 * unit, 0.25 * unit**2)
    time = unit**2
    problem = wgf.Problem([potential, wgf.Entropy(1.0)], start, until=until * time)
    method = wgf.PWGFOptions(samples=500, step_size=0.0175 * time, **options)
    output = wgf.Output(every=0.35 * time)
    return wgf.solve(problem, wgf.Affine(2), method, output).summary


@cache
def worst(**options) -> float:
    errors = solved(**options).map_error_relative
    assert errors is not None
    return max(error for error in errors if error is not None)


@pytest.mark.parametrize(
    ("unit", "origin", "dtype"),
    [
        (1e-4, 0.0, torch.float64), (1e4, 0.0, torch.float64), (1.0, 10.0, torch.float64),
        (1.0, 100.0, torch.float64), (1e-4, 0.0, torch.float32), (1e2, 0.0, torch.float32),
        (1.0, 100.0, torch.float32),
    ],
)  # fmt: skip
def test_the_error_is_that_of_units_of_order_one(unit, origin, dtype):
    """With a shift of rtol/100 of the largest eigenvalue it was 8 to 95 % of the displacement."""
    assert worst(unit=unit, origin=origin, dtype=dtype) < 3 * worst() + 2e-4


@pytest.mark.parametrize("preconditioner", ["dense", "outputs", "none"])
def test_what_solves_cannot_resolve_is_refused(preconditioner):
    with pytest.raises(wgf.InputError, match="Move the origin to its mean"):
        solved(origin=1e4, preconditioner=preconditioner)
    shifted = solved(origin=1e4, preconditioner=preconditioner, shift=1e-8, until=0.0175)
    assert shifted.finished  # as meant


def test_plain_solves_resolve_what_their_tolerance_does():
    with pytest.raises(wgf.InputError, match=r"take method.rtol = [56]e-08 or another precond"):
        solved(origin=100.0, preconditioner="none")
    assert worst(origin=100.0, preconditioner="none", rtol=1e-9) < 1e-3


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (wgf.Gaussian(3), 1 / 4),
        (wgf.Gaussian(3, 0.0, 1e-4), 1e-4),
        (wgf.Gaussian(3, 0.0, 1e4), 1e-4),
        (wgf.Gaussian(1, 100.0), 1e-8),
        (wgf.Gaussian(2, 0.0, [1.0, 1e-6]), 1e-6 / 2),
    ],
)
def test_conditioning_is_that_of_the_metric_of_an_affine_map(start, expected):
    """Up to a small factor that of E[(1, z)(1, z)ᵀ] itself."""
    z = torch.cat([torch.ones(1), start.mean])
    second = torch.outer(z, z)
    second[1:, 1:] += dense(start.covariance, start.dimension)
    values = torch.linalg.eigvalsh(second)
    found = reciprocal_condition(start)
    assert found == pytest.approx(expected, rel=0.15)
    assert 0.2 < found / float(values[0] / values[-1]) < 1.2
