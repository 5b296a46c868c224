"""Flows to mixtures by softmax gates in stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stores import assert_same

import hpc_wgf as wgf
from tests.oracles import euler_maruyama

MEANS = [[1.5, 0.0], [-1.0, 1.2], [-0.6, -1.6]]
POTENTIAL = wgf.GaussianMixture(MEANS, 0.3)
PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(POTENTIAL), wgf.Entropy(1.0)], wgf.Gaussian(2, 0.1, 2.0), 0.2
)
FEW = wgf.PWGFOptions(
    samples=128, sampling="sobol", form="energy", scheme="ros2", step=0.03, tolerance=0.3
)
PARTICLES = 40_000


def solved(path=None, *, centres=MEANS, until=PROBLEM.until, options=FEW, when=(0.1,), **further):
    return wgf.solve(
        PROBLEM.replace(until=until), wgf.SoftmaxGates(2, centres, variance=0.3), options,
        wgf.Output(path, every=0.05, particles=2000), stages=wgf.Stages(when), **further,
    )  # fmt: skip


def test_a_mode_that_has_no_gate_is_seen_at_the_start():
    """The force at a Gaussian lies in the gates' span, and not without one of them."""
    options = wgf.PWGFOptions(samples=1024, step=0.005, shift=1e-14)
    left = [
        solved(centres=centres, until=0.005, options=options, when="none")
        .summary.projection_error_fresh_relative[0]
        for centres in (MEANS, MEANS[1:])
    ]  # fmt: skip
    assert left[0] < 1e-9
    assert left[1] > 0.05


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_flow_is_that_of_the_particles(dtype):
    """E V and the modes' shares against the Langevin equation's, within four standard errors."""
    solution = solved(
        options=replace(FEW, samples=1024, step_size=0.01, tolerance=0.03, dtype=dtype)
    )
    (particles,) = euler_maruyama(
        POTENTIAL, PROBLEM.start, [PROBLEM.until], particles=PARTICLES, step=2e-3
    )
    images = solution.state(PROBLEM.start.sample(np.random.default_rng(7), PARTICLES)).double()
    for value in (POTENTIAL, *(_belongs_to(k) for k in range(3))):
        ours, theirs = value(images), value(particles)
        noise = ((ours.var() + theirs.var()) / PARTICLES).sqrt()
        assert float((ours.mean() - theirs.mean()).abs() / noise) < 4
    assert len(solution.state.stages) == 1
    assert solution.summary.folded[-1] == 0


def _belongs_to(k: int):
    return lambda x: (POTENTIAL.nearest_mode(x) == k).double()


def test_a_run_stopped_in_a_stage_goes_on_to_the_same_bits(tmp_path):
    solved(tmp_path / "whole")
    solved(tmp_path / "parts", until=0.15)
    solved(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_other_centres_are_another_run(tmp_path):
    solved(tmp_path / "run", until=0.15)
    with pytest.raises(wgf.InputError, match="map's buffers"):
        solved(tmp_path / "run", centres=[[1.4, 0.0], *MEANS[1:]], resume=True)
