"""How samples are distributed over the modes of a Gaussian mixture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problems import GaussianMixture


def mode_shares(mixture: GaussianMixture, x: Tensor) -> Tensor:
    """The fraction of the samples `x`, (n, d), that belongs to each mode: (components,) in float64,
    with sum 1.

    A sample belongs to the component that is most likely to have produced it."""
    counts = torch.bincount(mixture.nearest_mode(x), minlength=len(mixture.weights))
    return counts.double() / len(x)
