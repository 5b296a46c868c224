"""The posterior of the elliptic inverse problem."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.problems import EllipticInverse


def test_the_posterior_is_known():
    """Mean, covariance and log Z of a quadrature of 1601² points in the plane."""
    potential = EllipticInverse()
    assert potential.log_partition(1.0) == pytest.approx(-56.918114, abs=1e-6)
    u, log_density, given = potential.marginal(1.0)
    weights = log_density.softmax(0)
    mean = torch.stack([weights @ u, weights @ given])
    assert torch.allclose(mean, torch.tensor([-2.713848, 104.345758]), atol=1e-6)
    arms = torch.stack([u - mean[0], given - mean[1]], 1)
    C = (weights[:, None] * arms).T @ arms + torch.tensor([[0.0, 0.0], [0.0, 1 / 62.51]])
    known = torch.tensor([[0.0129108, 0.0288241], [0.0288241, 0.0807812]])
    assert torch.allclose(C, known, atol=1e-7)
