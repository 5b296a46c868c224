"""Another drift or mobility of the same name is not taken for that with which a run began."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf


def solve(path, until, *, turn=1.0, wide=0.2):
    def wind(x):
        return turn * torch.stack([-x[:, 1], x[:, 0]], 1)

    mobility = wgf.UserMobility(lambda x: 1 + wide * x.square(), "wide")
    energy = [wgf.PotentialEnergy(wgf.Quadratic(2, 0.5)), wgf.Entropy(0.5)]
    problem = wgf.Problem(energy, wgf.Gaussian(2), until, mobility=mobility, drift=wind)
    method = wgf.PWGFOptions(samples=100, step_size=0.05)
    output = wgf.Output(path, every=0.1)
    return wgf.solve(problem, wgf.Affine(2), method, output, resume=path.exists())


@pytest.mark.parametrize("other", [{"turn": 1.001}, {"turn": -1.0}, {"wide": 0.21}])
def test_another_motion_is_refused(tmp_path, other):
    solve(tmp_path / "run", 0.1)
    with pytest.raises(wgf.InputError, match=r"at its last row, t = 0.1, E\|P f − b\|² was"):
        solve(tmp_path / "run", 0.2, **other)
    solve(tmp_path / "run", 0.2)
    assert len(wgf.open_run(tmp_path / "run").column("time")) == 3
