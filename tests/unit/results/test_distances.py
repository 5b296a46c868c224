"""Distances of two runs."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import hpc_wgf as wgf
from hpc_wgf.results.distances import sliced_w2


def test_the_distance_of_two_maps_is_over_the_same_samples(ou, heun):
    a, b = wgf.open_run(ou), wgf.open_run(heun)
    found = a.map_distance(b, 0.1, samples=500, seed=2)
    z = a.sample(500, 0.1, seed=2).z
    square = np.square(a.push(z, 0.1) - b.push(z, 0.1)).sum(1)
    assert found.value == pytest.approx(square.mean() ** 0.5, rel=1e-12)
    assert found.standard_error == pytest.approx(
        square.std(ddof=1) / 500**0.5 / (2 * found.value), rel=1e-9
    )
    assert a.map_distance(a, samples=10).value == 0.0
    assert 0 < found.value < 0.1


def test_maps_of_different_starts_are_not_compared(ou, tmp_path):
    spec = wgf.load_problem("ou-2d", "problem.until=0.1", "problem.start.covariance=2.0")
    wgf.solve(
        spec.problem, wgf.Affine(2), wgf.PWGFOptions(samples=50, step_size=0.1),
        wgf.Output(tmp_path / "run"),
    )  # fmt: skip
    other = wgf.open_run(tmp_path / "run", spec._replace(map=wgf.Affine(2)))
    with pytest.raises(wgf.InputError, match="begin from different densities"):
        wgf.open_run(ou).map_distance(other)


def test_on_the_line_w2_is_that_of_the_samples():
    x = np.random.default_rng(0).standard_normal((4000, 1))
    found = sliced_w2(x, 3 + 2 * x)
    assert found.kind == "w2"
    assert found.value == pytest.approx((9 + 1 + 6 * x.mean()) ** 0.5, abs=0.05)


def test_sliced_w2_needs_pot(ou, monkeypatch):
    run = wgf.open_run(ou)
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(wgf.InputError, match=r"hpc-wgf\[pot\]"):
        run.w2(run)


def test_sliced_w2_of_a_shift_and_of_a_stretch_is_exact():
    """Of x + c it is |c|/√d on the mean over directions, of (1 + s) x, on every line the quantiles'
    own stretch, s (E|x|²/d)^½."""
    pytest.importorskip("ot")
    x, c = np.random.default_rng(0).standard_normal((3000, 3)), np.array([3.0, 0.0, -4.0])
    shifted = sliced_w2(x, x + c)
    assert shifted.kind == "sliced"
    assert shifted.value == pytest.approx(5 / 3**0.5, rel=0.06)  # of 200 directions
    assert sliced_w2(x, x[::-1]).value == pytest.approx(0.0, abs=1e-12)
    stretched = sliced_w2(x, 1.5 * x)
    assert stretched.value == pytest.approx(0.5 * np.square(x).mean() ** 0.5, rel=0.02)


def test_sliced_w2_of_two_runs_is_at_most_the_distance_of_their_maps(ou, heun):
    pytest.importorskip("ot")
    a, b = wgf.open_run(ou), wgf.open_run(heun)
    assert a.w2(a, samples=200).value == 0.0
    found = a.w2(b, 0.1, samples=400, seed=4)
    assert found.kind == "sliced"
    assert 0 < found.value <= a.map_distance(b, 0.1, samples=400, seed=4).value
    assert found.value == a.w2(b, 0.1, samples=400, seed=4).value
    assert found.value != a.w2(b, 0.1, samples=400, seed=5).value
