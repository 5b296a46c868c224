"""Divergences between laws."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parallel import Communicator, LocalCommunicator


def affine_law(
    z: Tensor, x: Tensor, mean: Tensor, covariance: Tensor, communicator: Communicator | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x = B z + c for z ~ N(mean, covariance), B and c by least squares.

    Exact, without a sampling floor, when x is an affine function of z; the nearest Gaussian
    otherwise. z, x: (n_local, d).
    """
    communicator = communicator or LocalCommunicator()
    z, x = z.double(), x.double()
    ones = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    d = z.shape[1]
    normal = communicator.sum(torch.cat([ones.T @ ones, ones.T @ x], 1)).cpu()
    coefficients = torch.linalg.solve(normal[:, : d + 1], normal[:, d + 1 :])
    B, c = coefficients[:d].T, coefficients[d]
    return B @ mean + c, B @ covariance @ B.T


def symmetric_kl(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> float:
    """KL(p‖q) + KL(q‖p) = ½ [tr(Q⁻¹P + P⁻¹Q) − 2d + Δᵀ(P⁻¹ + Q⁻¹)Δ] of Gaussians p = N(m, P),
    q = N(m', Q), Δ = m − m'. [VWGF 4.2]"""
    d = mean.numel()
    P, Q = torch.linalg.inv(covariance), torch.linalg.inv(other_covariance)
    shift = mean - other_mean
    traces = torch.trace(Q @ covariance) + torch.trace(P @ other_covariance)
    return 0.5 * float(traces - 2 * d + shift @ (P + Q) @ shift)
