"""The porous medium equation from a box on the line: against finite volumes, and in any units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import hpc_wgf as wgf
from hpc_wgf.problems.box_flow import BoxPorousFlow

REFERENCES = Path(__file__).parents[3] / "data" / "references"


def flow(m=3.0, low=-1.0, high=1.0, factor=1.0):
    return wgf.Problem([wgf.InternalEnergy(m, factor)], wgf.Box(1, low, high), 1.0).exact


def test_tracers_of_finite_volumes():
    reference = np.load(REFERENCES / "porous-box-1d.npz")
    z = torch.from_numpy(reference["z"]).double()
    for time, x in zip(reference["tracer_times"], reference["x"], strict=True):
        wrong = flow()(float(time), z) - torch.from_numpy(x).double()
        assert float(wrong.square().mean().sqrt()) < 2e-3, time


def test_the_second_moment_grows_by_the_energy():
    """d/dt E|x|² = 2c ∫ρᵐ, with ρ from the spacing of the images of equal masses."""
    exact, m, c = flow(2.0, 1.0, 4.0, 1.7), 2.0, 1.7
    edges = 1.0 + 3.0 * torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]

    def moment(t):
        x = exact(t, edges)
        middle = 0.5 * (x[1:] + x[:-1])
        return float(middle.square().mean() - middle.mean() ** 2), x

    before, after, (_, x) = moment(0.399), moment(0.401), moment(0.4)
    rate = (after[0] - before[0]) / 0.002
    density = (1 / 4000) / x.diff(dim=0)
    assert abs(rate / float(2 * c * (density ** (m - 1)).mean()) - 1) < 2e-3


def test_where_it_is_known():
    assert isinstance(flow(), BoxPorousFlow)
    for start in (wgf.Box(2), wgf.Box(1, ramp=0.1)):
        assert wgf.Problem([wgf.InternalEnergy(3.0)], start, 1.0).exact is None
    z = torch.tensor([[-0.5], [0.0], [0.7]])
    assert torch.equal(flow()(0.0, z), z.double())
    assert torch.allclose(flow()(0.3, -z), -flow()(0.3, z))
