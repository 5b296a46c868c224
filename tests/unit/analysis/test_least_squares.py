"""Damped Gauss–Newton steps where the plain ones do not go down."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis.least_squares import Target, fit
from hpc_wgf.ensemble import Sampler
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks


def wave() -> Target:
    """x = z + 2 sin 2z at 400 samples of N(0, 1)."""
    sampler = Sampler(wgf.Gaussian(1), LocalCommunicator(), seed=0, dtype=torch.float64)
    blocks = SampleBlocks.automatic(400)
    drawn = sampler.draw(blocks, sampler.parts(blocks, 512), RandomStream.CONSOLIDATION)
    return Target(drawn, [z + 2 * torch.sin(2 * z) for z in drawn.points])


@pytest.mark.parametrize(
    "make",
    [
        lambda: wgf.BlockFlow(1, 3), lambda: wgf.PlanarFlow(1, 3),
        lambda: wgf.ResidualPerceptron(1, (4, 4)),
    ],
    ids=["block", "planar", "perceptron"],
)  # fmt: skip
def test_no_step_goes_up_and_the_last_is_where_the_map_is(make: Callable[[], wgf.PushForward]):
    """Undamped, the second step of all three is longer than the linear model holds."""
    target, misfits = wave(), []
    for most in (1, 2, 3, 6, 12):
        map = make()
        found = fit(map, target, most)
        with torch.no_grad():
            left = torch.cat(list(target.images)) - map(torch.cat(target.ensemble.points))
        assert found.misfit == pytest.approx(float(left.square().mean()) ** 0.5, rel=1e-12)
        misfits.append(found.misfit)
    assert all(after < before for before, after in pairwise(misfits))
    assert misfits[-1] < 0.5 * misfits[0]


def test_a_fit_that_is_still_going_down_says_so():
    found = fit(wgf.BlockFlow(1, 3), wave(), 3)
    assert (found.iterations, found.converged) == (3, False)
    assert fit(wgf.BlockFlow(1, 3), wave(), 100).converged
