"""Initial weights of tanh features: directions w and offsets b of tanh(w·x + b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from ..choices import Features
from ..errors import InputError


class FeatureOptions(TypedDict, total=False):
    """The options of `initial_features`, which are those of every map of tanh features."""

    features: Features
    """Random directions (the default), or directions along the axes."""
    scale: float
    """Steepness, in 1/x: |w| = `scale` along axes, E|w|² = `scale`² for random w; 1 by default."""
    spread: float
    """Largest distance of the hyperplanes w·x + b = 0 from `centre`, in x; 2 by default."""
    centre: float | Sequence[float] | Tensor
    """The point about which these lie, a number or one for each axis, in x; 0 by default."""
    seed: int
    """Seed of the random numbers; 0 by default."""


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
    """W (count, d) and b (count,) of tanh(W x + b), in float64, for the options `FeatureOptions`.

    The hyperplanes w·x + b = 0, where a feature changes most, have distances of up to `spread`
    from `centre`: evenly spaced ones along an axis, and for random w ~ N(0, scale²I/d) those of
    b + w·centre ~ U[−spread, spread]·|w|.

    Errors: `InputError` for a centre whose length is not d.
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
    turn = torch.arange(count) // dimension  # features that this axis has already
    per_axis = torch.bincount(axis, minlength=dimension)[axis]
    W[torch.arange(count), axis] = scale
    offsets = (2 * turn + 1) / per_axis - 1
    return W, -spread * scale * offsets.to(torch.float64)
