"""What of a stored run is compared with what is given is compared whatever constant it contains."""

from __future__ import annotations

import pytest

import hpc_wgf as wgf


def solve(path, factor: float, constant: float, until: float, **options) -> None:
    inner = wgf.StyblinskiTang(factor)
    potential = wgf.UserPotential(lambda x: inner(x) + constant, "V")
    problem = wgf.Problem(wgf.PotentialEnergy(potential), wgf.Gaussian(2), until=until)
    method = wgf.PWGFOptions(samples=100, step_size=0.05, **options)
    output = wgf.Output(path, every=0.1)
    wgf.solve(problem, wgf.Affine(2), method, output, resume=path.exists())


@pytest.mark.parametrize("constant", [0.0, 3e4, -1e6])
def test_another_energy_is_refused_whatever_its_constant(tmp_path, constant):
    """A millionth of V was lost beside √ε of 3e4."""
    solve(tmp_path / "run", 0.06, constant, 0.1)
    with pytest.raises(wgf.InputError, match="at its last row, t = 0.1, its energy was"):
        solve(tmp_path / "run", 0.06 * (1 + 1e-6), constant, 0.2)
    solve(tmp_path / "run", 0.06, constant, 0.2)
    assert len(wgf.open_run(tmp_path / "run").column("time")) == 3


def test_single_precision_is_resumed_beside_a_large_constant(tmp_path):
    solve(tmp_path / "run", 0.06, 3e4, 0.1, dtype="float32")
    with pytest.raises(wgf.InputError, match="its energy was"):
        solve(tmp_path / "run", 0.09, 3e4, 0.2, dtype="float32")
    solve(tmp_path / "run", 0.06, 3e4, 0.2, dtype="float32")
