"""Shares of the modes of a Gaussian mixture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problems import GaussianMixture


def mode_shares(mixture: GaussianMixture, x: Tensor) -> Tensor:
    """Share of the samples, (n, d), nearest to each mode: (components,), summing to 1."""
    counts = torch.bincount(mixture.nearest_mode(x), minlength=len(mixture.weights))
    return counts.double() / len(x)
