"""A method of one's own in one file: solved, judged, stored, resumed and reported like PWGF."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flat_gradient import FlatOptions
from stores import assert_same

import hpc_wgf as wgf

PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, 0.5)), wgf.Entropy(1.0)],
    wgf.Gaussian(2), until=1.0,
)  # fmt: skip


def solve(path, until=1.0, **options):
    output = wgf.Output(path, every=0.25)
    map = wgf.Affine(2)
    return wgf.solve(PROBLEM.replace(until=until), map, FlatOptions(), output, **options)


def test_the_judge_sees_it_with_the_same_errors(tmp_path):
    """From N(0, I) the metric of an affine map is the identity as long as the law hardly changes:
    the flat flow begins as the right one does."""
    summary = solve(tmp_path / "run").summary
    assert summary.finished
    assert summary.map_error_relative[1] < 0.1
    assert summary.preconditioner is None
    assert summary.products_per_solve is None
    assert summary.projection_error_fresh[0] is not None
    assert '"projection_error": [null' in summary.to_json()


def test_its_figures_are_stored_by_its_own_columns(tmp_path):
    run = wgf.open_run(solve(tmp_path / "run").path)
    turn = run.column("step_turn")
    assert np.isnan(turn[0])  # memory ends at a stored time, and with it what the cosine needs
    assert np.isfinite(turn[1:5]).all()
    assert (turn[1:5] > 0.9).all()
    assert "products" not in {column.name for column in run.columns}
    assert np.isnan(run.column("step_products")).all()
    assert run.column("velocity").shape == (5, 6)


@pytest.mark.parametrize("after", [2, 7])
def test_it_is_resumed_to_the_bit(tmp_path, after):
    """Stopped between two rows, with a slope in its memory."""
    solve(tmp_path / "whole")
    steps = []

    def stop() -> bool:
        steps.append(None)
        return len(steps) == after

    stopped = solve(tmp_path / "parts", stop=stop).summary
    assert not stopped.finished
    solve(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_another_method_is_not_taken_for_it(tmp_path):
    solve(tmp_path / "run", until=0.5)
    with pytest.raises(wgf.InputError, match="another run, which cannot be resumed.*\n.*method"):
        wgf.solve(
            PROBLEM, wgf.Affine(2), wgf.PWGFOptions(samples=500), wgf.Output(tmp_path / "run"),
            resume=True,
        )  # fmt: skip


def test_the_velocity_that_is_stored_is_the_slope(tmp_path):
    """η of the first row is −∇F = −Jᵀf/n at the start, where J = (z, 1) in each coordinate."""
    run = wgf.open_run(solve(tmp_path / "run").path)
    eta = torch.from_numpy(run.column("velocity")[0])
    # f = 2(z − 1) − z = z − 2: E[f] = −2, E[f zᵀ] = I, up to sampling noise of n = 500.
    expected = torch.tensor([-1.0, 0.0, 0.0, -1.0, 2.0, 2.0], dtype=torch.float64)
    assert float((eta - expected).abs().max()) < 0.3
