"""Flows to mixtures by softmax gates in stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stores import assert_same

import hpc_wgf as wgf
from tests.oracles import euler_maruyama

MEANS = [[1.5, 0.0], [-1.0, 1.2], [-0.6, -1.6]]
POTENTIAL = wgf.GaussianMixture(MEANS, 0.3)
PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(POTENTIAL), wgf.Entropy(1.0)], wgf.Gaussian(2, 0.1, 2.0), 0.4
)
OPTIONS = wgf.PWGFOptions(
    samples=1024, sampling="sobol", form="energy", scheme="ros2", step=0.01, tolerance=0.03
)


def solved(centres=MEANS, until=PROBLEM.until, options=OPTIONS, path=None, **further):
    map = wgf.SoftmaxGates(2, centres, variance=0.3)
    return wgf.solve(
        PROBLEM.replace(until=until), map, options, wgf.Output(path, every=0.1, particles=4000),
        stages=wgf.Stages([0.1, 0.2]), **further,
    )  # fmt: skip


def test_a_mode_that_has_no_gate_is_seen_at_the_start():
    """The force at a Gaussian lies in the gates' span, and not without one of them."""
    options = wgf.PWGFOptions(samples=1024, step=0.005)
    left = [
        solved(centres, 0.01, options).summary.projection_error_fresh_relative[0]
        for centres in (MEANS, MEANS[1:])
    ]
    assert left[0] < 1e-9
    assert left[1] > 0.05


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_flow_is_that_of_the_particles(dtype):
    """E V against the Langevin equation's, within four standard errors of both."""
    options = wgf.PWGFOptions(
        samples=2048, sampling="sobol", form="energy", scheme="ros2", step=0.01, tolerance=0.01,
        dtype=dtype,
    )  # fmt: skip
    solution = solved(options=options)
    (particles,) = euler_maruyama(
        POTENTIAL, PROBLEM.start, [PROBLEM.until], particles=40_000, step=2e-3
    )
    z = PROBLEM.start.sample(np.random.default_rng(7), 40_000)
    images = solution.state(z).double()
    ours, theirs = (POTENTIAL(x) for x in (images, particles))
    noise = ((ours.var() + theirs.var()) / 40_000).sqrt()
    assert float((ours.mean() - theirs.mean()).abs() / noise) < 4
    shares = [torch.bincount(POTENTIAL.nearest_mode(x), minlength=3) / 40_000
              for x in (images, particles)]  # fmt: skip
    assert float((shares[0] - shares[1]).abs().max()) < 0.012
    assert solution.summary.folded[-1] == 0


def test_a_run_stopped_in_a_stage_goes_on_to_the_same_bits(tmp_path):
    solved(path=tmp_path / "whole")
    solved(path=tmp_path / "parts", until=0.3)
    solved(path=tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_other_centres_are_another_run(tmp_path):
    solved(path=tmp_path / "run", until=0.1)
    with pytest.raises(wgf.InputError, match="map's buffers"):
        solved([[1.4, 0.0], *MEANS[1:]], path=tmp_path / "run", resume=True)
