"""What the report warns of."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

import hpc_wgf as wgf
from hpc_wgf.report import print_summary


def printed(summary: wgf.Summary) -> str:
    stream = io.StringIO()
    print_summary(summary, Console(file=stream, width=300))
    return stream.getvalue()


def test_what_the_map_cannot_follow_is_said():
    """Eight narrow wells pull a shift of the whole nowhere: it follows next to nothing."""
    wells = wgf.UserPotential(lambda x: (3 * x).cos().sum(1))
    problem = wgf.Problem(wgf.PotentialEnergy(wells), wgf.Gaussian(2), until=0.02)
    options = wgf.PWGFOptions(samples=500, step_size=0.01)
    summary = wgf.solve(problem, wgf.Affine(2), options, wgf.Output(every=0.01)).summary
    assert "follows only part of the force: at t = " in printed(summary)
    assert "folded" not in printed(summary)
    followed = replace(summary, projection_error_relative=[0.1] * 3)
    assert "part of the force" not in printed(followed)
    # Near a steady state only noise is left of the force.
    settled = replace(
        summary, projection_error_relative=[0.1, 0.1, 0.9], energy_rate=[-1.0, -0.1, -0.001]
    )
    assert "part of the force" not in printed(settled)


def test_folds_are_said():
    problem = wgf.Problem(wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Gaussian(2), until=0.02)
    options = wgf.PWGFOptions(samples=100, step_size=0.01)
    summary = wgf.solve(problem, wgf.Affine(2), options, wgf.Output(every=0.01)).summary
    assert summary.folded == [0, 0, 0]
    assert "folded" not in printed(summary)
    assert "folded at up to 7 evaluation samples" in printed(replace(summary, folded=[0, 7, 2]))
