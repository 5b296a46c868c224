"""Kullback–Leibler divergences of Gaussians, and the Gaussian law of an affine image."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parallel import Communicator, LocalCommunicator
from ..problems.matrices import dense, times


def affine_law(
    z: Tensor, x: Tensor, mean: Tensor, covariance: Tensor, communicator: Communicator | None = None
) -> tuple[Tensor, Tensor]:
    """(B m + c, B C Bᵀ): the law of B z + c for z ~ N(m, C), with B and c fitted to x ≈ B z + c.

    `z` and its images `x`, (n_local, d), are this rank's samples; the least-squares fit takes those
    of all ranks. `mean` m, (d,), and `covariance` C, (d, d), (d,) for a diagonal or () for c·I, are
    those of z in float64. The result, a mean (d,) and a covariance (d, d), has no sampling error if
    x is an affine function of z.
    Collective, one all-reduce; without a communicator, for one process.
    """
    communicator = communicator or LocalCommunicator()
    # About m the columns of the fit are nearly orthogonal, wherever the samples are, and the
    # constant is B m + c itself.
    z, x = z.double() - mean.to(z.device), x.double()
    ones = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    d = z.shape[1]
    normal = communicator.sum(torch.cat([ones.T @ ones, ones.T @ x], 1)).cpu()
    coefficients = torch.linalg.solve(normal[:, : d + 1], normal[:, d + 1 :])
    B = coefficients[:d].T
    return coefficients[d], times(B, covariance) @ B.T


def symmetric_kl(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> float:
    """KL(p‖q) + KL(q‖p) = ½ [tr(Q⁻¹P + P⁻¹Q) − 2d + Δᵀ(P⁻¹ + Q⁻¹)Δ], Δ = m − m', for Gaussians
    p = N(m, P) and q = N(m', Q) with means (d,) and covariances (d, d), (d,) or (). [VWGF 4.2]"""
    d = mean.numel()
    covariance, other_covariance = dense(covariance, d), dense(other_covariance, d)
    P, Q = torch.linalg.inv(covariance), torch.linalg.inv(other_covariance)
    shift = mean - other_mean
    traces = torch.trace(Q @ covariance) + torch.trace(P @ other_covariance)
    return 0.5 * float(traces - 2 * d + shift @ (P + Q) @ shift)
