"""Diagnostics against closed forms."""

from __future__ import annotations

import pytest
import torch
from bound import ensemble_of

from hpc_wgf import GaussianMixture
from hpc_wgf.diagnostics import (
    affine_law,
    map_error,
    mode_shares,
    symmetric_kl,
    wasserstein_1d,
)


def test_map_error_of_a_shift():
    z = torch.randn(100, 3)
    error = map_error(z, z + 1.1, z + 1.0, ensemble_of([z]))
    assert error.absolute == pytest.approx(0.1 * 3**0.5)
    assert error.displacement == pytest.approx(3**0.5)
    assert map_error(z, z, z, ensemble_of([z])).absolute == 0.0


def test_affine_law_is_exact_for_affine_maps():
    z, B, c = torch.randn(50, 2), torch.tensor([[1.0, 0.3], [-0.2, 0.5]]), torch.tensor([1.0, 2.0])
    mean, covariance = affine_law(z, z @ B.T + c, torch.ones(2), torch.diag(torch.tensor([1.0, 2])))
    assert torch.allclose(mean, B.sum(1) + c, atol=1e-12)
    assert torch.allclose(covariance, B @ torch.diag(torch.tensor([1.0, 2])) @ B.T, atol=1e-12)


def test_affine_law_far_from_the_origin():
    """The normal equations of the fit have a condition number of the fourth power of the distance,
    unless they are formed about the mean: the covariance was off by 2e-5."""
    z = 1e5 + torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    B, mean = torch.tensor([[1.0, 0.3], [-0.2, 0.5]]), torch.full((2,), 1e5)
    found, covariance = affine_law(z, (z - 1e5) @ B.T + 7.0, mean, torch.eye(2))
    assert torch.allclose(found, torch.full((2,), 7.0), atol=1e-9)
    assert torch.allclose(covariance, B @ B.T, atol=1e-9)


def test_symmetric_kl_against_torch():
    m, n = torch.zeros(2), torch.tensor([1.0, -0.5])
    P, Q = torch.tensor([[1.0, 0.3], [0.3, 0.7]]), torch.tensor([[2.0, -0.1], [-0.1, 0.5]])
    p, q = (torch.distributions.MultivariateNormal(*law) for law in ((m, P), (n, Q)))
    expected = torch.distributions.kl_divergence(p, q) + torch.distributions.kl_divergence(q, p)
    assert symmetric_kl(m, P, n, Q) == pytest.approx(float(expected), rel=1e-12)
    assert symmetric_kl(m, P, m, P) == pytest.approx(0.0, abs=1e-12)


def test_wasserstein_of_a_scaled_normal():
    """W₂(N(0, 1), N(m, σ²))² = m² + (σ − 1)²."""
    u = (torch.arange(200_000) + 0.5) / 200_000
    z = torch.special.ndtri(u)[:, None]
    shuffled = z[torch.randperm(len(z))]
    assert float(wasserstein_1d(shuffled, 0.5 + 1.5 * z)) == pytest.approx(0.5**0.5, rel=1e-4)


def test_mode_shares():
    mixture = GaussianMixture([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], 0.5)
    x = torch.tensor([[0.1, 0.1], [3.0, 0.0], [4.5, 0.2], [0.0, 0.3]])
    assert mode_shares(mixture, x).tolist() == [0.5, 0.5, 0.0]
