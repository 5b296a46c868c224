"""Initial weights of tanh features: directions w and offsets b of tanh(w·x + b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from ..choices import Features
from ..errors import InputError
from .frame import Frame

_SPREAD = 2.0  # of automatic features, in standard deviations


class FeatureOptions(TypedDict, total=False):
    """The options of `initial_features`, which are those of every map of tanh features. Those that
    are left out follow from the samples that the map is laid out for: at the start of a run, from
    the start density."""

    features: Features
    """Random directions (the default), or directions along the axes."""
    scale: float | None
    """Steepness, in 1/x: |w| = `scale` along axes, E|w|² = `scale`² for random w. By default the
    same with 1 in the coordinates in which the samples have covariance I."""
    spread: float | None
    """Largest distance of the hyperplanes w·x + b = 0 from `centre`, in x; by default two standard
    deviations of the samples along w."""
    centre: float | Sequence[float] | Tensor | None
    """The point about which these lie, a number or one for each axis, in x; by default the mean of
    the samples."""
    seed: int
    """Seed of the random numbers; 0 by default."""


def initial_features(
    count: int,
    dimension: int,
    frame: Frame | None = None,
    *,
    features: Features = Features.RANDOM,
    scale: float | None = None,
    spread: float | None = None,
    centre: float | Sequence[float] | Tensor | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """W (count, d) and b (count,) of tanh(W x + b), in float64, for the options `FeatureOptions`
    and samples with mean and covariance of `frame`, by default 0 and I.

    The hyperplanes w·x + b = 0, where a feature changes most, have distances of up to `spread`
    from `centre`: evenly spaced ones along an axis, and for random w ~ N(0, scale²I/d) those of
    b + w·centre ~ U[−spread, spread]·|w|.

    Errors: `InputError` for a centre whose length is not d.
    """
    frame = frame or Frame.unit(dimension)
    W, offsets = _directions_and_offsets(
        features, count, dimension, 1.0 if scale is None else scale, seed
    )
    if scale is None:
        W = W / frame.deviations if features is Features.AXIS else frame.pulled_back(W)
    reach = _SPREAD * frame.widths(W) if spread is None else spread * W.norm(dim=1)
    b = offsets * reach
    middle = frame.mean if centre is None else torch.as_tensor(centre, dtype=torch.float64)
    if middle.ndim == 0:
        middle = middle.expand(dimension)
    if middle.shape != (dimension,):
        raise InputError(
            f"the centre of the features has shape {tuple(middle.shape)} but the dimension is "
            f"{dimension}: give {dimension} numbers, or one for all"
        )
    return W, b - W @ middle


def lay_out(W: Tensor, b: Tensor, frame: Frame, options: FeatureOptions) -> None:
    """Turn initial features W (count, d) and b (count,) for samples of mean 0 and covariance I into
    those for samples with mean and covariance of `frame`. Features that are not the initial ones
    of `options`, as somebody has set them otherwise, stay as they are."""
    (count, dimension), present = W.shape, (W, b)
    initial = initial_features(count, dimension, **options)
    if all(_are(p, value) for p, value in zip(present, initial, strict=True)):
        laid_out = initial_features(count, dimension, frame, **options)
        for p, value in zip(present, laid_out, strict=True):
            p.data.copy_(value)


def _are(present: Tensor, initial: Tensor) -> bool:
    """Whether parameters are initial ones, perhaps of a map that was in single precision before."""
    roundings = (initial.to(present), initial.float().to(present))
    return any(torch.equal(present.data, rounded) for rounded in roundings)


def _directions_and_offsets(
    features: Features, count: int, dimension: int, scale: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Directions w, (count, d), with |w| = `scale` along axes and E|w|² = `scale`² for random ones;
    and offsets in [−1, 1], (count,)."""
    if features is Features.RANDOM:
        generator = torch.Generator().manual_seed(seed)
        W = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
        W *= scale / dimension**0.5
        return W, 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    W = torch.zeros(count, dimension, dtype=torch.float64)
    axis = torch.arange(count) % dimension
    turn = torch.arange(count) // dimension  # features that this axis has already
    per_axis = torch.bincount(axis, minlength=dimension)[axis]
    W[torch.arange(count), axis] = scale
    return W, (1 - (2 * turn + 1) / per_axis).to(torch.float64)
