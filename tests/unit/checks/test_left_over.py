"""What gates leave of the force at the start, of mixtures whose modes are known."""

from __future__ import annotations

import warnings

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.checks import force_left_over, gate_warnings
from hpc_wgf.errors import WgfWarning
from hpc_wgf.maps import AxisSpline, BlockFlow, SoftmaxGates
from hpc_wgf.methods.base import layout_samples

MEANS = [[3.0, 0.0], [-3.0, 1.0], [0.0, -3.5], [-1.0, 4.0]]
WEIGHTS = [1.0, 2.0, 1.0, 0.7]
MIXTURE = wgf.GaussianMixture(MEANS, 0.5, WEIGHTS)
PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(MIXTURE), wgf.Entropy(1.0)], wgf.Gaussian(2, 0.3, 4.0), 0.01
)


def gates(chosen=range(4), **options):
    return SoftmaxGates(
        2, [MEANS[k] for k in chosen], variance=0.5, weights=[WEIGHTS[k] for k in chosen], **options
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gates_of_all_modes_leave_nothing_over_and_others_do(dtype):
    z = layout_samples(PROBLEM.start)
    assert force_left_over(PROBLEM, gates().to(dtype), z) < 1e-5
    for missing in range(4):
        map = gates([k for k in range(4) if k != missing])
        assert force_left_over(PROBLEM, map.to(dtype), z) > 0.1
        assert missing_is_told(map)
    assert not missing_is_told(gates())


def missing_is_told(map) -> bool:
    (*warned,) = gate_warnings(PROBLEM, map)
    return any("% of the force at the start" in line for line in warned)


def test_the_share_is_that_of_a_fit_to_other_samples():
    """Of splines for a potential in one coordinate, by a fit of its own."""
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.DoubleWell(2.0)), wgf.InternalEnergy(2.0)], wgf.Gaussian(1), 1.0
    )
    map, z = AxisSpline(1, 5, low=-2.0, high=2.0).double(), layout_samples(problem.start)
    density = problem.start.log_density(z).exp()[:, None]
    force = problem.energy.potential().gradient(z) + 2.0 * density * problem.start.score(z)
    features = map.linear_features(z).value[0].T
    n = len(z) // 2
    eta = torch.linalg.lstsq(features[:n], force[:n]).solution
    left = (force[n:] - features[n:] @ eta).norm() / force[n:].norm()
    assert force_left_over(problem, map, z) == pytest.approx(float(left), rel=1e-9)
    assert float(left) > 0.01


def test_where_nothing_can_be_said():
    z = layout_samples(PROBLEM.start)
    assert force_left_over(PROBLEM, BlockFlow(2, 8), z) is None
    assert force_left_over(PROBLEM, gates(), z[:40]) is None
    attracted = wgf.Problem(wgf.InteractionEnergy(wgf.PowerLaw(4, 2)), PROBLEM.start, 1.0)
    assert force_left_over(attracted, gates(), z) is None
    assert gate_warnings(PROBLEM, BlockFlow(2, 8)) == []


def test_a_run_with_a_mode_missing_begins_with_a_warning():
    options = wgf.PWGFOptions(samples=256, step_size=0.01)
    with pytest.warns(WgfWarning, match="a mode without a gate loses its mass") as told:
        wgf.solve(PROBLEM, gates([0, 1, 2]), options)
    assert {each.filename for each in told if each.category is WgfWarning} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wgf.solve(PROBLEM, gates(), options)
