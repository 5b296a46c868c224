"""Maps between the stored rows of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from processes import solved

import hpc_wgf as wgf
from hpc_wgf.diagnostics import cubic


@pytest.mark.parametrize(
    ("degree", "known"), [(3, (True, True)), (2, (True, False)), (2, (False, True)), (1, (0, 0))]
)
def test_polynomials_of_so_many_degrees_are_met(degree, known):
    rng = np.random.default_rng(0)
    powers = rng.standard_normal((degree + 1, 4))

    def value(s):
        return sum(c * s**k for k, c in enumerate(powers))

    def slope(s):
        return sum(k * c * s ** (k - 1) for k, c in enumerate(powers) if k)

    first, last = 0.3, 1.0
    ends = zip((first, last), known, strict=True)
    slopes = [torch.from_numpy(slope(t)) if is_known else None for t, is_known in ends]
    points = [torch.from_numpy(value(t)) for t in (first, last)]
    for t in (0.3, 0.55, 0.9, 1.0):
        found, its_slope = cubic(*points, slopes, last - first, (t - first) / (last - first))
        np.testing.assert_allclose(found, value(t), atol=1e-13)
        np.testing.assert_allclose(its_slope, slope(t), atol=1e-12)


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """An affine flow whose maps are frozen at t = 0.1 and 0.2, with rows there."""
    path = tmp_path_factory.mktemp("staged") / "run"
    solved(
        "run", "ou-2d", "--set", 'map=[{kind="affine"}]', "--set", "method.samples=100",
        "--set", "stages.when=[0.1,0.2]", "--set", "problem.until=0.3", "--set", "output.every=0.1",
        "--set", "method.step=0.02", "--set", "output.bound=false", "--out", path,
    )  # fmt: skip
    return wgf.open_run(path)


def test_between_rows_the_map_is_exact_but_for_what_is_said(staged):
    """Also in the first interval of a stage, where one velocity is not stored."""
    z = staged.map_at(0.0).seeds[:500]

    def error(time):
        apart = staged.push(z, time) - staged.problem.exact(time, z)
        return float(apart.square().sum(1).mean() ** 0.5)

    for begun, time, ended, largest in ((0.0, 0.06, 0.1, 2e-3), (0.1, 0.14, 0.2, 3e-2)):
        between = staged.map_at(time)
        assert error(time) < max(error(begun), error(ended)) + between.interpolation_error
        assert error(time) < largest
        assert between.interpolation_error < 0.3
        assert staged.map_at(ended).interpolation_error == 0.0
        assert len(between.state.stages) == len(staged.map_at(ended).state.stages)
    assert [len(staged.map_at(t).state.stages) for t in (0.05, 0.15, 0.25)] == [0, 1, 2]


def test_at_its_ends_an_interval_has_the_maps_of_the_rows(staged):
    z = staged.map_at(0.0).seeds[:50]
    for time in (0.1, 0.2):
        for near in (time - 1e-5, time + 1e-5):
            assert (staged.push(z, near) - staged.push(z, time)).abs().max() < 1e-3


@pytest.mark.parametrize("time", [-0.1, 0.4, float("nan")])
def test_outside_of_the_run_there_is_none(staged, time):
    with pytest.raises(wgf.InputError, match="is outside of .* stored from t = 0 to 0.3"):
        staged.map_at(time)
