"""Pictures of particles with importance weights."""

from __future__ import annotations

import numpy as np
import pytest

import hpc_wgf as wgf
from hpc_wgf.pictures import Subject, draw
from hpc_wgf.store.check import check


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A narrow core in ten dimensions, N(0, .1 I) at the start."""
    path = tmp_path_factory.mktemp("weighted") / "core.zarr"
    problem = wgf.Problem([wgf.InternalEnergy(3.0)], wgf.Gaussian(10, 0.0, 0.1), until=0.001)
    map = wgf.RadialFlow(10, 8, centre=0.0, radius=2.0)
    options = wgf.PWGFOptions(samples=500, step_size=5e-4)
    wgf.solve(problem, map, options, wgf.Output(path, every=1e-3, particles=8000))
    return wgf.open_run(path)


def test_the_particles_that_are_shown_are_distributed_as_the_density(run):
    """E|z|² = 1; of all particles alike the mean is a third less."""
    square = np.square(run.particles(0)).sum(1)
    shown = square[:2000][Subject(run, None).shown]
    assert 500 < len(shown) < 1500
    assert shown.mean() == pytest.approx(1.0, abs=5 * 0.2**0.5 / len(shown) ** 0.5)
    assert square.mean() < 0.75
    assert np.mean(np.exp(run.log_weight()) * square) == pytest.approx(1.0, abs=0.03)


def test_it_is_drawn_read_and_checked(run, tmp_path):
    draw(run, tmp_path / "core.png")
    assert (tmp_path / "core.png").stat().st_size > 1000
    assert check(run) == []
    data = run.to_xarray()
    weighted = (np.exp(data.log_weight) * np.square(data.particles).sum("axis")).mean("sample")
    assert float(weighted[0]) == pytest.approx(1.0, abs=0.03)
