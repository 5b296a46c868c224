"""Initial features of tanh layers: directions w and offsets b of tanh(w·x + b)."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor


class Features(StrEnum):
    """`random`: w ~ N(0, scale²I/d). `axis`: scale along one coordinate each, in turn; a
    width that is a multiple of d serves all coordinates alike."""

    RANDOM = "random"
    AXIS = "axis"


def initial_features(
    features: Features, count: int, dimension: int, *, scale: float, spread: float, seed: int
) -> tuple[Tensor, Tensor]:
    """W (count, d) and b (count,), float64, so that the kinks w·x + b = 0 cover the start.

    Kinks lie at distances up to `spread` from the origin along each feature: evenly for axis
    features, b ~ U[−spread, spread]·|w| for random ones.
    """
    generator = torch.Generator().manual_seed(seed)
    if features is Features.RANDOM:
        W = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
        W *= scale / dimension**0.5
        offsets = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
        return W, spread * offsets * W.norm(dim=1)
    W = torch.zeros(count, dimension, dtype=torch.float64)
    axis = torch.arange(count) % dimension
    turn = torch.arange(count) // dimension  # how many features this axis had before
    per_axis = torch.bincount(axis, minlength=dimension)[axis]
    W[torch.arange(count), axis] = scale
    offsets = (2 * turn + 1) / per_axis - 1
    return W, -spread * scale * offsets.to(torch.float64)
