"""How far a map is from an affine one, against the definition."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.diagnostics import deformation as module
from hpc_wgf.diagnostics.deformation import deformation
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks
from tests.oracles import perturb


def ensemble(d: int, n: int = 2000):
    start = wgf.Gaussian(d, 0.3, 0.8)
    sampler = wgf.ensemble.Sampler(start, LocalCommunicator(), seed=0, dtype=torch.float64)
    blocks = SampleBlocks.automatic(n, None)
    return sampler.draw(blocks, sampler.parts(blocks, 500), RandomStream.EVALUATION)


def test_affine_maps_have_none():
    map = perturb(wgf.Affine(3), 2.0)
    assert deformation(map, ensemble(3)) < 1e-12


def test_it_is_the_root_mean_squared_deviation_of_the_gradient():
    map, sample = perturb(wgf.BlockFlow(2, 8), 1.0, seed=1), ensemble(2)
    z = torch.cat(sample.points)
    gradient = torch.func.vmap(torch.func.jacrev(lambda row: map(row[None])[0]))(z).detach()
    ones = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    M = torch.linalg.lstsq(ones, map(z).detach()).solution[:2].T
    exact = float((gradient - M).square().sum((1, 2)).mean() / M.square().sum()) ** 0.5
    assert exact > 0.1
    assert deformation(map, sample) == pytest.approx(exact, rel=0.05)


def test_in_many_dimensions_a_diagonal_map_is_fitted(monkeypatch):
    map = wgf.maps.AxisSpline(3, 6, low=-2.0, high=2.0)
    perturb(map, 0.3)
    whole = deformation(map, ensemble(3))
    monkeypatch.setattr(module, "_WIDEST", 2)
    assert deformation(map, ensemble(3)) == pytest.approx(whole, rel=0.05)
