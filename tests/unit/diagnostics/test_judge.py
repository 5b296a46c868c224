"""What the judge finds on the evaluation sample, against the same by hand."""

from __future__ import annotations

import math

import numpy as np

import hpc_wgf as wgf


def test_the_median_force_is_that_of_the_evaluation_sample(tmp_path):
    """With a potential alone f = ∇V: a quarter of the mean for V = Σx⁴/4, of a few far samples."""
    quartic = wgf.UserPotential(lambda x: (x**4).sum(1) / 4, "quartic")
    problem = wgf.Problem(wgf.PotentialEnergy(quartic), wgf.Gaussian(2), until=0.02)
    options = wgf.PWGFOptions(samples=501, step_size=0.01)
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 8))
    summary = wgf.solve(problem, map, options, wgf.Output(tmp_path / "run", every=0.01)).summary
    run = wgf.open_run(tmp_path / "run")
    for row, median in enumerate(summary.force_square_median):
        squares = (run.particles(row) ** 6).sum(1)
        assert math.isclose(median, np.sort(squares)[(len(squares) - 1) // 2], rel_tol=1e-12)
        assert median < 0.5 * run.column("force_square_fresh")[row]
    assert "force_square_median" in summary.to_json()


def test_there_is_none_where_the_residual_is_not_defined():
    kernel = wgf.InteractionEnergy(wgf.PowerLaw(2, 0))
    problem = wgf.Problem([kernel, wgf.Entropy(0.1)], wgf.Gaussian(1), until=0.01)
    options = wgf.PWGFOptions(samples=200, step_size=0.01)
    summary = wgf.solve(problem, wgf.Affine(1), options, wgf.Output(every=0.01)).summary
    assert summary.force_square_median is None
    assert '"force_square_median": null' in summary.to_json()
