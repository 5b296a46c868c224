"""A stored run as a path of maps: the judge's figures anew, new samples, stages."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from staged import OPTIONS, PROBLEM
from staged import solve as solve_in_stages
from stores import small_store

import hpc_wgf as wgf
from hpc_wgf.analysis import Trajectory
from hpc_wgf.diagnostics import Judge
from hpc_wgf.maps import BlockFlow, Composition

OLD_STORE = Path(__file__).parents[2] / "support" / "schema3.zip"


@pytest.fixture
def ou(tmp_path):
    spec = wgf.load_problem("ou-2d", "problem.until=0.2", "method.samples=200", "method.step=0.05")
    wgf.solve(*spec, wgf.Output(tmp_path / "ou", every=0.1))
    return tmp_path / "ou", spec


def assert_judged_the_same(trajectory: Trajectory) -> None:
    for row, time in enumerate(trajectory.times):
        found = trajectory.figures(time)
        for column in Judge.columns:
            if column.along == "time":
                stored = trajectory.run.column(column.key)[row]
                assert found[column.name] == pytest.approx(stored, rel=1e-12, nan_ok=True)


def test_the_judge_says_the_same_long_after(ou):
    """Energies, residuals, rates and exact errors of every row, from parameters alone."""
    path, spec = ou
    assert_judged_the_same(Trajectory.of(path, spec))


def test_the_judge_says_the_same_of_a_run_in_stages(tmp_path):
    solve_in_stages(tmp_path / "run")
    first = Composition(wgf.Affine(2), BlockFlow(2, 8, spread=3.0))
    trajectory = Trajectory.of(tmp_path / "run", wgf.RunSpec(PROBLEM, first, OPTIONS))
    assert [len(trajectory.map(time).stages) for time in trajectory.times] == [0, 0, 1, 1, 2, 2]
    assert_judged_the_same(trajectory)


def test_a_row_is_asked_for_by_its_time_wherever_times_begin(tmp_path):
    """Beside seconds since 1970 a billionth is 1.7 of them: every time was that of a row."""
    start = 1.7e9
    spec = wgf.load_problem(
        "ou-2d", f"problem.start_time={start}", f"problem.until={start + 0.1}",
        "method.samples=200", "method.step=0.05",
    )  # fmt: skip
    wgf.solve(*spec, wgf.Output(tmp_path / "ou", every=0.05))
    trajectory = Trajectory.of(tmp_path / "ou", spec)
    assert [trajectory.row(start + time) for time in (0.0, 0.05, 0.1)] == [0, 1, 2]
    with pytest.raises(wgf.InputError, match="the nearest is at"):
        trajectory.row(start + 0.06)


def test_new_samples_follow_the_exact_law(ou):
    """Mean and variance of the Ornstein–Uhlenbeck law, and log ρ against the exact density."""
    path, spec = ou
    trajectory = Trajectory.of(path, spec)
    cloud = trajectory.sample(4000, 0.2)
    mean, covariance = spec.problem.exact.law(0.2)
    assert torch.allclose(cloud.x.mean(0), mean, atol=0.06)
    assert torch.allclose(cloud.x.T.cov(), covariance * torch.eye(2), atol=0.08)
    exact = wgf.Gaussian(2, mean, covariance)
    assert float((cloud.log_density - exact.log_density(cloud.x)).abs().mean()) < 0.02
    assert float((cloud.score - exact.score(cloud.x)).abs().mean()) < 0.05
    assert torch.equal(cloud.x, trajectory.sample(4000, 0.2).x)
    assert not torch.equal(cloud.x, trajectory.sample(4000, 0.2, seed=1).x)


def test_stores_without_maps_are_refused_in_one_line(ou, tmp_path):
    path, spec = ou
    shutil.unpack_archive(OLD_STORE, tmp_path / "old")
    with pytest.raises(wgf.InputError, match="written by an older version") as caught:
        Trajectory.of(tmp_path / "old", spec)
    assert "\n" not in str(caught.value)
    small_store(tmp_path / "empty")
    with pytest.raises(wgf.InputError, match="has no row yet"):
        Trajectory.of(tmp_path / "empty", spec)


def test_what_cannot_be_told_is_refused(ou):
    path, spec = ou
    with pytest.raises(wgf.InputError, match="no row at t = 0.17: the nearest is at t = 0.2"):
        Trajectory.of(path, spec).map(0.17)
    with pytest.raises(wgf.InputError, match="written from Python objects"):
        Trajectory.of(path)
    assert math.isclose(Trajectory.of(path, spec).times[-1], 0.2)
