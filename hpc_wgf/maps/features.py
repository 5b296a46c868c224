"""Initial features of tanh layers: directions w and offsets b of tanh(w·x + b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from ..choices import Features
from ..errors import InputError


class FeatureOptions(TypedDict, total=False):
    """`features`: random (the default) or axis. `scale`: steepness, default 1. `spread`: how far
    from `centre` (a number or one per axis, default 0) the kinks lie, default 2. `seed`."""

    features: Features
    scale: float
    spread: float
    centre: float | Sequence[float] | Tensor
    seed: int


def initial_features(
    count: int,
    dimension: int,
    *,
    features: Features = Features.RANDOM,
    scale: float = 1.0,
    spread: float = 2.0,
    centre: float | Sequence[float] | Tensor = 0.0,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """W (count, d) and b (count,), float64, so that the kinks w·x + b = 0 cover the start.

    Kinks lie at distances up to `spread` from the centre along each feature: evenly for axis
    features, b + w·centre ~ U[−spread, spread]·|w| for random ones.
    """
    W, b = _about_the_origin(features, count, dimension, scale, spread, seed)
    middle = torch.as_tensor(centre, dtype=torch.float64)
    if middle.ndim == 0:
        middle = middle.expand(dimension)
    if middle.shape != (dimension,):
        raise InputError(
            f"the centre of the features has shape {tuple(middle.shape)} but the dimension is "
            f"{dimension}: give {dimension} numbers, or one for all"
        )
    return W, b - W @ middle


def _about_the_origin(
    features: Features, count: int, dimension: int, scale: float, spread: float, seed: int
) -> tuple[Tensor, Tensor]:
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
