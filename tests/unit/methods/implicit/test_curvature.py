"""H against exact second variations, and its parts against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from oracles import perturb

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.maps import carried_by
from hpc_wgf.methods.implicit.curvature import DensityCurvature, _of_pairs, position_curvature
from hpc_wgf.problems import SumOfEnergies

Z = torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("part", [wgf.Entropy(0.7), wgf.InternalEnergy(3.0, 0.4)])
def test_of_a_map_linear_in_its_parameters_it_is_the_second_derivative(part):
    """∂²/∂ε² of the mean of φ(log ρ) along θ + εv: the energy of a density, of an affine map."""
    map = perturb(wgf.Affine(2).double(), 0.2)
    start, energy = wgf.Gaussian(2), SumOfEnergies([part])
    theta = map.get_theta()
    v = torch.tensor([0.3, -0.8, 0.5, 0.1, 0.2, -0.4], dtype=torch.float64)
    chunk = Cloud(Z, start.log_density(Z), start.score(Z))

    def mean(epsilon: torch.Tensor) -> torch.Tensor:
        A = torch.eye(2, dtype=torch.float64) + (theta + epsilon * v)[:4].view(2, 2)
        log_density = chunk.log_density - torch.linalg.slogdet(A).logabsdet
        return energy.density_integrand(Z, log_density).sum()

    exact = torch.autograd.functional.hessian(mean, torch.zeros((), dtype=torch.float64))
    (image,) = carried_by(map, [chunk], score=False)
    found = DensityCurvature.at(map, theta, chunk, image, energy)
    assert float(v @ found.product(v, positive=False)) == pytest.approx(float(exact), rel=1e-10)
    rows = found.rows()
    assert torch.allclose(rows @ (rows.T @ v), found.product(v, positive=True), rtol=1e-10)


def test_a_rotation_is_left_out_of_the_positive_form():
    """tr((∇u)²) = −2 for u = (−x₂, x₁); the symmetric part of ∇u is 0."""
    map, start = wgf.Affine(2).double(), wgf.Gaussian(2)
    v = torch.tensor([0.0, -1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    chunk = Cloud(Z, start.log_density(Z), start.score(Z))
    energy = SumOfEnergies([wgf.Entropy(1.0)])
    found = DensityCurvature.at(map, map.get_theta(), chunk, chunk, energy)
    assert float(v @ found.product(v, positive=False)) == pytest.approx(-2.0 * len(Z))
    assert float(found.product(v, positive=True).abs().max()) < 1e-12


def test_of_position_it_is_the_positive_part():
    def saddle(x):
        return x[:, 0] ** 2 - x[:, 1] ** 2

    known = SumOfEnergies([wgf.PotentialEnergy(wgf.UserPotential(saddle))])
    expected = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64)).expand(len(Z), 2, 2)
    assert torch.allclose(position_curvature(known, Z), expected)
    constant = SumOfEnergies([wgf.PotentialEnergy(wgf.Quadratic(2, 0.0, [1.0, 0.25]))])
    assert torch.allclose(
        position_curvature(constant, Z)[0], torch.diag(Z.new_tensor([1.0, 4.0])), rtol=1e-14
    )


def test_of_pairs_it_is_the_mean_of_positive_parts():
    kernel = wgf.UserKernel(lambda square: torch.exp(-square / 2), "bump")
    found = _of_pairs(wgf.InteractionEnergy(kernel, -1.5), Z, Z[:5])

    def J(r: torch.Tensor) -> torch.Tensor:
        return -1.5 * torch.exp(-(r * r).sum() / 2)

    for k in (7, 20):
        each = torch.stack([torch.autograd.functional.hessian(J, Z[k] - y) for y in Z[:5]])
        values, vectors = torch.linalg.eigh(each)
        positive = (vectors * values.clamp(min=0)[:, None, :]) @ vectors.mT
        assert torch.allclose(found[k], positive.mean(0), atol=1e-6)
