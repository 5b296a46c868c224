"""Bound, estimate and correction of a stored run, from its rows alone."""

from __future__ import annotations

import pytest
from summaries import errors_after_start

import hpc_wgf as wgf
from hpc_wgf.analysis import stored_errors, with_bound, with_correction
from hpc_wgf.report import Summary


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same run with and without its own bound, in stages."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {}
    for bound in (True, False):
        spec = wgf.load_problem("ou-2d-aniso", "problem.until=0.3", "method.samples=1000")
        output = wgf.Output(folder / str(bound), every=0.1, bound=bound)
        wgf.solve(*spec, output, stages=wgf.Stages([0.15]))
        runs[bound] = wgf.Trajectory.of(folder / str(bound), spec)
    return runs


def test_what_the_run_has_stored_is_found_again(stores):
    run = stores[True]
    stored = run.run.column("error_estimate")
    for row, found in enumerate(stored_errors(run)):
        assert found.bound == run.run.column("error_bound")[row]
        assert found.estimate == pytest.approx(stored[row], rel=1e-9, abs=1e-12)


def test_from_rows_alone_the_bound_holds_and_the_estimate_is_near(stores):
    run = stores[False]
    summary = with_bound(Summary.of_store(run.run), run)
    error, bound, estimate = errors_after_start(summary)
    assert (bound >= error).all()
    assert (estimate >= 0.7 * error).all()
    assert (estimate <= 3 * error).all()
    assert (summary.convexity, summary.convexity_source) == (pytest.approx(1.0), "energy")


def test_samples_moved_by_the_estimate_are_nearer_to_the_exact_ones(tmp_path):
    """Long steps, whose error a linear flow carries along as the estimate does."""
    spec = wgf.load_problem("ou-2d-aniso", "problem.until=0.3", "method.tolerance=3e-2")
    wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.Trajectory.of(tmp_path / "run", spec)
    found = with_correction(Summary.of_store(run.run), run).corrected
    after, before = found.map_error_relative[1:], found.map_error_relative_before[1:]
    assert all(b > 1e-4 for b in before)
    assert all(a < 0.2 * b for a, b in zip(after, before, strict=True))
    assert found.second_moment[0] == found.second_moment_before[0]


def test_flows_without_an_estimate_have_no_correction(tmp_path):
    energy = [wgf.InteractionEnergy(wgf.PowerLaw(4.0, 2.0))]
    problem = wgf.Problem(energy, wgf.Gaussian(2), until=0.01)
    spec = wgf.RunSpec(problem, wgf.Affine(2), wgf.PWGFOptions(samples=100, step_size=0.01))
    wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.01))
    run = wgf.Trajectory.of(tmp_path / "run", spec)
    with pytest.raises(wgf.InputError, match="no correction"):
        with_correction(Summary.of_store(run.run), run)
