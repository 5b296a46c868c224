"""Flows in the plane by radial basis functions, against densities in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud


def heated(t: float) -> wgf.Mixture:
    """Two Gaussians under the heat equation."""
    parts = [([-1.5, 0.0], 0.1, 0.4), ([1.5, 0.5], 0.3, 0.6)]
    return wgf.Mixture(
        [wgf.Gaussian(2, mean, variance + 2 * t) for mean, variance, _ in parts],
        [weight for _, _, weight in parts],
    )


def divergence(map: wgf.PushForward, seed: int) -> float:
    """KL(ρ_θ‖ρ) at t = .1, over fresh samples."""
    problem = wgf.Problem(wgf.Entropy(1.0), heated(0.0), until=0.1)
    options = wgf.PWGFOptions(samples=2000, scheme="kutta32", tolerance=1e-2, seed=seed)
    state = wgf.solve(problem, map, options, wgf.Output(every=0.05)).state
    z = problem.start.sample(np.random.default_rng(9), 4000)
    images = state.carry(Cloud(z, problem.start.log_density(z), problem.start.score(z)))
    assert bool(images.unfolded.all())
    apart = images.log_density - heated(0.1).log_density(images.x)
    return float((torch.exp(-apart) - 1 + apart).mean())


def test_merging_gaussians_are_followed_where_an_affine_map_follows_little():
    assert divergence(wgf.Affine(2), 0) > 0.1
    assert max(divergence(wgf.RadialBasis(2), seed) for seed in (0, 1, 2)) < 0.012


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_run_in_stages_goes_on_as_if_never_stopped(tmp_path, dtype):
    """The centres of a later stage lie among the images and come from the store."""
    problem = wgf.Problem(wgf.Entropy(1.0), heated(0.0), until=0.04)
    options = wgf.PWGFOptions(samples=256, step=0.005, dtype=dtype)
    stages = wgf.Stages([0.01, 0.02])
    map = wgf.RadialBasis(2, 12)

    def solve(path, until, **further):
        return wgf.solve(problem.replace(until=until), map, options, wgf.Output(path, every=0.01),
                         stages=stages, **further)  # fmt: skip

    solve(tmp_path / "whole", 0.04)
    solve(tmp_path / "parts", 0.03)
    solution = solve(tmp_path / "parts", 0.04, resume=True)
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(tmp_path / "parts"))
    *frozen, last = *(stage.map for stage in solution.state.stages), solution.state.map
    assert len(frozen) == 2
    spread = [map.centres.std(0).norm() / heated(0.0).moments()[1].trace().sqrt()
              for map in (*frozen, last)]  # fmt: skip
    assert min(spread) > 0.9
    assert max(spread) < 2.0
    assert not torch.equal(frozen[1].centres, last.centres)
    trajectory = wgf.Trajectory.of(tmp_path / "parts", wgf.RunSpec(problem, map, options))
    assert torch.equal(trajectory.map(0.04).map.centres, last.centres)
