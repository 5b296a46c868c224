"""Flows on a circle and in a box, against finite volumes and reflected images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.problems import Walls


def test_the_flow_on_a_circle_follows_its_exact_map():
    """Map error over displacement; the energy falls by what is dissipated, also while few samples
    of λ would tell what happens opposite the start; and the first wave of the density, which has no
    sampling error in the difference of the images of the same samples."""
    settings = ("map.0.harmonics=6", "method.samples=1024", "problem.until=0.1")
    spec = wgf.load_problem("periodic-2d", *settings)
    solution = wgf.solve(*spec, wgf.Output(every=0.1, bound=False))
    assert solution.summary.map_error_relative[-1] < 2e-3
    law = solution.summary.energy_law
    assert law.whole.fall == pytest.approx(law.whole.dissipated, rel=0.005)
    z = spec.problem.start.sample(np.random.default_rng(1), 20_000)
    step = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert torch.allclose(solution.state(z + step), solution.state(z) + step, atol=1e-9)
    exact, found = (
        float(torch.cos(2 * torch.pi * (x[:, 0] - 0.25)).mean())
        for x in (spec.problem.exact(0.1, z), solution.state(z))
    )
    assert found == pytest.approx(exact, abs=2e-3)
    assert exact < 0.6  # from .82 at the start


def test_a_box_keeps_its_particles():
    """Map error against the finite volumes of the same walls; a thousandth of the particles at most
    is deeper in a wall than three times (β/k)^½."""
    beta, depth = 0.25, 0.04
    walls = wgf.PotentialEnergy(Walls(1, 0.0, 1.0, beta / depth**2))
    problem = wgf.Problem([walls, wgf.Entropy(beta)], wgf.Gaussian(1, 0.3, 0.0064), 0.05)
    method = wgf.PWGFOptions(
        samples=1024, sampling="sobol", scheme="ros2", form="energy", step_size=1e-3, tolerance=5e-3
    )
    solution = wgf.solve(
        problem, wgf.AxisSpline(1, 16), method, wgf.Output(every=0.05, bound=False)
    )
    assert solution.summary.map_error_relative[-1] < 1e-2
    normal = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    x = solution.state(0.3 + 0.08 * normal[:, None])
    assert float(((x < -3 * depth) | (x > 1 + 3 * depth)).double().mean()) < 1e-3
