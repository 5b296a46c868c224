"""The path between two computed points of a stiff flow."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.diagnostics import cubic
from hpc_wgf.diagnostics.path import PathPoint, hermite
from hpc_wgf.maps import MapState

SHARES = [k / 20 for k in range(21)]
STEP = 0.1
FIRST = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
LAST = torch.tensor([0.03, 1.0, 0.5], dtype=torch.float64)
SLOPES = [torch.tensor(v, dtype=torch.float64) for v in ([-1e3, 9.0, 3.0], [5.0, -40.0, -3.0])]


@pytest.mark.parametrize("known", [(True, True), (True, False), (False, True)])
def test_between_ends_of_a_stiff_step_the_path_is_monotone(known):
    slopes = [slope if is_known else None for slope, is_known in zip(SLOPES, known, strict=True)]
    slopes = [100 * slope if slope is not None else None for slope in slopes]
    path = torch.stack([cubic(FIRST, LAST, slopes, STEP, share)[0] for share in SHARES])
    assert bool((path.diff(dim=0) * (LAST - FIRST).sign() >= -1e-12).all())
    assert bool((path[:, 2] == 0.5).all())


def test_the_middle_of_a_stiff_step_lies_between_its_ends():
    map = wgf.Affine(1).double()
    states = [MapState((), map, theta) for theta in (FIRST, LAST)]
    ends = [PathPoint(state, slope, None) for state, slope in zip(states, SLOPES, strict=True)]
    middle = hermite(*ends, STEP)[0].theta
    low, high = torch.minimum(FIRST, LAST), torch.maximum(FIRST, LAST)
    assert bool(((low <= middle) & (middle <= high)).all())


def test_steps_that_follow_the_flow_keep_its_slopes():
    """θ = exp(−t/0.05), on which a step of 0.1 is twice the flow's time."""
    first = torch.ones(1, dtype=torch.float64)
    last = first * torch.tensor(-2.0, dtype=torch.float64).exp()
    for at, theta in ((0.0, first), (1.0, last)):
        _, slope = cubic(first, last, [-first / 0.05, -last / 0.05], STEP, at)
        assert float((slope + theta / 0.05).abs().max()) < 1e-12


def test_implicit_steps_do_not_fold_between_rows(tmp_path):
    parts = [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, [1.0, 1e-3])), wgf.Entropy(1.0)]
    problem = wgf.Problem(parts, wgf.Gaussian(2), until=0.1)
    options = wgf.ImplicitOptions(samples=100, step_size=0.1)
    wgf.solve(problem, wgf.Affine(2), options, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.open_run(tmp_path / "run", wgf.RunSpec(problem, wgf.Affine(2), options))
    ends = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    lengths = []
    for time in (0.0, 0.025, 0.05, 0.075, 0.1):
        upper, lower = torch.as_tensor(run.push(ends, time))
        lengths.append(float((upper - lower)[1]))
    assert lengths == sorted(lengths, reverse=True)
    assert 0.0 < lengths[-1] < 0.1 < lengths[2] < lengths[0] == 1.0
