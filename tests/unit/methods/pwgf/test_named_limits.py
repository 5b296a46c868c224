"""Named problems with a limit of the density: against their exact maps, and their rest."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.problems import FermiFlow, SaturatingFlow

FEWER = ["method.samples=1024"]


def test_particles_pass_the_shock_of_a_nonlocal_attraction(tmp_path):
    """The shock forms at t = 0.108; the error is that over the displacement."""
    spec = wgf.load_problem("mobility-nonlocal", "problem.until=0.2", *FEWER)
    assert isinstance(spec.problem.exact, SaturatingFlow)
    assert spec.problem.exact.height == pytest.approx(0.75)
    solution = wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.1))
    assert 0 < max(solution.summary.map_error_relative) < 1e-2
    assert solution.summary.energy_law.whole.gap < 0.02
    particles = torch.from_numpy(wgf.open_run(tmp_path / "run").particles(-1))
    assert float(particles.square().sum(1).mean()) == pytest.approx(0.22298, rel=0.01)


@pytest.mark.parametrize(
    ("name", "more", "height"),
    [("mobility-fermi-1d", ["problem.until=4"], 0.94321),
     ("mobility-fermi", ["problem.until=0.2", "method.samples=2048"], None)],
)  # fmt: skip
def test_fermions_follow_the_finite_volumes_to_rest(name, more, height):
    spec = wgf.load_problem(name, *FEWER, *more)
    assert isinstance(spec.problem.exact, FermiFlow)
    solution = wgf.solve(*spec, wgf.Output(every=spec.problem.until / 2))
    assert 0 < max(solution.summary.map_error_relative) < 1e-2
    assert solution.summary.energy_law.whole.gap < 0.02
    if height is not None:  # the density at rest at 0, which no symmetry moves
        z, start = torch.zeros(1, 1), spec.problem.start
        image = solution.state.carry(Cloud(z, start.log_density(z), start.score(z)))
        assert float(image.log_density.exp()) == pytest.approx(height, rel=0.01)
