"""ψ of a stored run against the force of its exact flow."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf import InputError
from hpc_wgf.analysis import Trajectory, velocity_potential
from hpc_wgf.pictures import Subject
from hpc_wgf.pictures.moments import Moments


@pytest.fixture(scope="module")
def ou(tmp_path_factory):
    """An Ornstein–Uhlenbeck flow, which an affine map follows, and its store."""
    path = tmp_path_factory.mktemp("ou") / "ou.zarr"
    spec = wgf.load_problem("ou-2d-aniso", "problem.until=0.02", 'map=[{kind="affine"}]',
                            "method.samples=400", "method.step=0.01")  # fmt: skip
    wgf.solve(*spec, wgf.Output(path, every=0.01, bound=False))
    return Trajectory.of(path, spec)


def test_its_gradient_is_the_velocity_of_the_exact_flow(ou):
    """∇ψ = −∇V − ∇ log ρ: at N(0, I) −Σ⁻¹(x − μ) + x, everywhere; ψ by its differences."""
    psi = velocity_potential(ou, 0.0, functions=12)
    x = 2 * torch.randn(7, 2)
    precision = torch.tensor([1.0, 4.0])
    exact = -precision * (x - 3.0) + x
    assert torch.allclose(psi.gradient(x), exact, atol=1e-5)
    step = torch.tensor([[0.0, 1e-4]])
    slope = (psi(x + step) - psi(x - step)) / 2e-4
    assert torch.allclose(slope, exact[:, 1], atol=1e-4)
    assert psi.left < 1e-8 * psi.square


def test_what_leaves_the_density_as_it_is_is_left(ou):
    """A rotation of N(0, I) is added to η: ψ stays, and E|Rx|² = 2ω² is left."""
    map, found = ou.map(0.0), velocity_potential(ou, 0.0, functions=12)

    class Turned:
        def __getattr__(self, name):
            return getattr(ou.run, name)

        def velocity(self, row):
            eta = torch.from_numpy(ou.run.velocity(row)).clone()
            names = [name for name, _ in map.map.named_parameters()]
            parts = dict(zip(names, map.map.split(eta), strict=True))
            turned = [
                part + 5.0 * torch.tensor([[0.0, -1.0], [1.0, 0.0]]) if part.ndim == 2 else part
                for part in parts.values()
            ]
            return torch.cat([part.reshape(-1) for part in turned]).numpy()

    other = Trajectory(Turned(), ou.spec)
    turned = velocity_potential(other, 0.0, functions=12)
    x = torch.randn(5, 2)
    # Up to the noise of 400 samples, which tell rotations of the plane from gradients to 1/√n.
    assert float((turned.gradient(x) - found.gradient(x)).norm()) < 0.25 * 5.0 * float(x.norm())
    assert turned.left == pytest.approx(2 * 25.0, rel=0.2)


def test_between_rows_there_is_none(ou):
    with pytest.raises(InputError, match="no row at t = 0.005"):
        velocity_potential(ou, 0.005)


def test_moments_are_those_of_the_exact_images_of_the_same_samples(ou):
    found = Moments.of(Subject(ou.run, ou))
    mean, covariance = found.errors()
    assert mean[0] == covariance[0] == 0.0
    assert 0 < mean[-1] < 1e-3
    assert 0 < covariance[-1] < 1e-3
    assert found.exact_mean[-1] - found.exact_mean[0] == pytest.approx([0.06, 0.23], abs=0.03)
