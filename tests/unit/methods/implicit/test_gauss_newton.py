"""The solve of a stage where units, rounding, folds or few samples stand in its way."""

from __future__ import annotations

import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble import FailedSamples, SamplesFailed
from hpc_wgf.methods.implicit import gauss_newton, stage
from hpc_wgf.methods.implicit.curvature import DensityCurvature


def gaussian_flow(start, mean, variances, beta, until) -> wgf.Problem:
    parts = [wgf.PotentialEnergy(wgf.Quadratic(2, mean, variances))]
    return wgf.Problem([*parts, *([wgf.Entropy(beta)] if beta else [])], start, until=until)


def solve(problem, map=None, **options):
    output = wgf.Output(every=problem.until, bound=False)
    return wgf.solve(problem, map or wgf.Affine(2), wgf.ImplicitOptions(**options), output)


def test_a_tolerance_in_the_unit_of_x_is_a_length():
    start = wgf.Gaussian(2, covariance=1e8)
    problem = gaussian_flow(start, [1e4, 1e4], [1.0, 0.25], 1e8, 0.2)
    solution = solve(problem, samples=100, step_size=0.1, tolerance=200, tolerance_unit="x")
    assert solution.summary.map_error_relative[-1] < 5e-3


@pytest.mark.parametrize("thin", [1e-3, 1e-5])
def test_a_thin_start_shrinks_as_exactly(thin):
    """By Euler with V = ½|x|²: T = z/(1 + h)."""
    start = wgf.Gaussian(2, mean=[1.0, thin], covariance=[1.0, thin**2])
    problem = gaussian_flow(start, 0.0, 1.0, 0.0, 0.1)
    map = solve(problem, samples=100, scheme="euler", step_size=0.1).map
    A = map.A.detach() + torch.eye(2, dtype=torch.float64)
    assert float((A - torch.eye(2, dtype=torch.float64) / 1.1).abs().max()) < 1e-6


def test_rounding_bounds_what_is_asked_of_float32():
    start = wgf.Gaussian(2, mean=[10.0, 10.0])
    problem = gaussian_flow(start, [11.0, 10.0], [1.0, 0.25], 1.0, 0.01)
    solution = solve(problem, samples=400, dtype="float32", step_size=0.1, tolerance=1e-3)
    assert solution.summary.map_error_relative[-1] < 1e-3


@pytest.mark.parametrize(
    ("map", "samples"),
    [(wgf.BlockFlow(2, width=8), 400), (wgf.ResidualPerceptron(2, (8, 8)), 400)],
    ids=["block", "perceptron"],
)
def test_maps_that_samples_do_not_determine_to_the_last_digit(map, samples):
    problem = gaussian_flow(wgf.Gaussian(2), [1.0, 1.0], [1.0, 0.25], 1.0, 0.05)
    solution = solve(problem, map, samples=samples, step_size=0.05)
    assert solution.summary.map_error_relative[-1] < 0.02


def test_what_was_linearised_is_freed_with_its_stage(monkeypatch):
    """And deformations are kept as far as they fit in what may be kept, here not at all."""
    points, kept = [], []
    solved, made = gauss_newton.GaussNewton.solve, DensityCurvature.at

    def watched(self, equation, guess):
        found = solved(self, equation, guess)
        assert not any(ref() is not None for ref in points)
        points.extend(weakref.ref(each) for each in found.jacobians)
        return found

    def noticed(*args, keep):
        kept.append(keep)
        return made(*args, keep=keep)

    monkeypatch.setattr(gauss_newton.GaussNewton, "solve", watched)
    monkeypatch.setattr(stage, "DensityCurvature", SimpleNamespace(at=noticed))
    problem = gaussian_flow(wgf.Gaussian(2), 0.0, 0.5, 1.0, 0.05)
    for gib, all_kept in ((1.0, True), (2e-6, False)):
        points.clear()
        kept.clear()
        map = wgf.BlockFlow(2, width=4)
        solve(problem, map, samples=50, step_size=0.05, rtol=0.1, cache_gib=gib)
        assert points
        assert all(kept) is all_kept


def test_what_asks_for_too_much_is_named():
    problem = gaussian_flow(wgf.Gaussian(2), 0.0, 0.5, 1.0, 0.05)
    with pytest.raises(wgf.WgfError, match="method.rtol = 1e-12 asks for .*: loosen it"):
        solve(problem, samples=50, step_size=0.05, rtol=1e-12, max_iterations=1)


def test_a_step_is_not_told_short_by_a_solve_that_failed(monkeypatch):
    """Products of one step of MINRES solve for nothing here, however short what they give is."""
    solved = gauss_newton.minres

    def stopped(*args, **options):
        eta, stats = solved(*args, **options)
        return 1e-12 * eta, replace(stats, true_residual=0.9)

    monkeypatch.setattr(gauss_newton, "minres", stopped)
    problem = gaussian_flow(wgf.Gaussian(2), 0.0, 0.5, 1.0, 0.05)
    with pytest.raises(wgf.WgfError, match="Gauss-Newton step"):
        solve(problem, samples=50, step_size=0.05)


def test_a_stage_that_folds_tells_of_the_samples(monkeypatch):
    """Which stages of the map that add themselves ask for."""
    found: list[FailedSamples] = []
    solved = gauss_newton.GaussNewton.solve

    def watched(self, equation, guess):
        try:
            return solved(self, equation, guess)
        except SamplesFailed as failure:
            found.append(failure.samples)
            raise

    monkeypatch.setattr(gauss_newton.GaussNewton, "solve", watched)
    monkeypatch.setattr(gauss_newton, "minres", reversing(gauss_newton.minres))
    problem = gaussian_flow(wgf.Gaussian(2), 0.0, 0.5, 1.0, 0.05)
    with pytest.raises(wgf.WgfError):
        solve(problem, samples=50, step_size=0.05, max_iterations=2)
    assert found


def reversing(solved):
    """Steps by which an affine map turns inside out."""

    def minres(*args, **options):
        eta, stats = solved(*args, **options)
        return 1e3 * eta.sign(), stats

    return minres
