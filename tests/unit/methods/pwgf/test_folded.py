"""A map that has folded at few new samples goes on without them; at more it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.diagnostics import Judge
from hpc_wgf.ensemble import SamplesFailed
from hpc_wgf.maps import AxisSpline
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator

HEAT = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(1), 1.0)


def at_a_fold(slope: float, **options):
    """A spline on (−3.4, 3.4) that falls at its end, where the slope is `slope`: at few in 1000
    samples it has folded."""
    map = AxisSpline(1, 13, low=-3.4, high=3.4)
    runner = PWGF.on(HEAT, map, wgf.PWGFOptions(samples=4000, **options), LocalCommunicator())
    state = runner.start()
    theta = state.theta.clone()
    theta[-1] = (
        slope - 1
    ) * 0.5  # half the distance of the knots: the slope at the last is 1 + c/h
    return runner, replace(state, map=state.map.moved(theta))


@pytest.mark.parametrize("redraw", ["step", "stage"])
def test_few_are_left_out_and_counted(redraw):
    runner, state = at_a_fold(-0.15, redraw=redraw)
    image = state.map.active().transport(torch.cat(runner.samples(state.map, 0).points))
    folded = int((~image.positive).sum())
    assert 0 < folded <= 4
    found = runner.velocity_at(state)
    assert found.context.ensemble.left_out == folded
    assert found.context.ensemble.total == 4000 - folded
    # The velocity is that of the least-squares problem without them.
    kept = runner.samples(state.map, 0).unfolded(state.map.active())
    assert torch.equal(found.eta, runner.evaluate(state.map, kept).eta)
    trial = runner.advance(replace(state, entered=found), 1e-12)
    assert trial.figures["left_out"] == folded
    assert trial.memory is None or trial.memory.solver is None


def test_more_fail_the_step():
    map = AxisSpline(1, 13, low=-2.0, high=2.0)
    runner = PWGF.on(HEAT, map, wgf.PWGFOptions(samples=4000), LocalCommunicator())
    state = runner.start()
    theta = state.theta.clone()
    theta[-1] = -0.5
    with pytest.raises(SamplesFailed, match="the map has folded at"):
        runner.velocity_at(replace(state, map=state.map.moved(theta)))


def test_means_over_the_evaluation_sample_go_without_them():
    runner, state = at_a_fold(-0.15, seed=1)
    judge = Judge(HEAT, runner.setting.evaluation)
    eta = torch.ones_like(state.theta)
    look = judge.look(state.map, eta)
    z = runner.setting.evaluation.z
    image = state.map.active().transport(z, HEAT.start.score(z))
    keep = image.positive
    assert look.folded == int((~keep).sum()) > 0
    log_density = HEAT.start.log_density(z) - image.log_det
    assert look.energy == pytest.approx(float(log_density[keep].mean()), rel=1e-12)
    assert look.force_square == pytest.approx(float(image.score[keep].square().mean()), rel=1e-12)
    assert torch.equal(look.log_density.isnan(), ~keep)
    # dF/dt along η by differences of the mean over the same samples.
    h, energies = 1e-6, []
    for sign in (-1, 1):
        moved = state.map.moved(state.theta + sign * h * eta).active().transport(z[keep])
        energies.append(float((HEAT.start.log_density(z[keep]) - moved.log_det).mean()))
    rate = (energies[1] - energies[0]) / (2 * h)
    assert judge.rate(state.map, eta, look) == pytest.approx(rate, rel=1e-6)
    later = judge.look(state.map, eta, look)
    assert later.energy_change_error == 0.0
    assert judge.energy_spread(look) > 0.0
