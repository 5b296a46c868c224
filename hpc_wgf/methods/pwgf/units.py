"""How far the units and the origin of x are from those of the start density."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...parallel import affordable, samples_to_check
from ...problems import Density

_SAMPLES = 4096
_WIDEST = 1000  # coordinates up to which their correlations are looked at


def reciprocal_condition(
    start: Density, carried: Callable[[Tensor], Tensor] | None = None
) -> float:
    """λ_min/λ_max of E[(1, z)(1, z)ᵀ], which is the metric of an affine map, z ↦ b + Az; to
    within a small factor, from the mean m and the eigenvalues v of the covariance of z:

        v_min / ((1 + |m|² + v_min) (1 + |m|² + v_max)).

    Of order 1 where z is of order 1 and spread about the origin. The same bits on every rank.
    `carried`: a map of the samples, of whose images it then is.
    """
    count = affordable(_SAMPLES, start.dimension)
    z = samples_to_check(start.sample, count)
    z = (z if carried is None else carried(z).cpu()).double()
    if not bool(z.isfinite().all()):
        return 1.0  # is refused where the start is checked
    mean = z.mean(0)
    centred = z - mean
    if z.shape[1] > _WIDEST:
        v = (centred * centred).mean(0)
    else:
        v = torch.linalg.eigvalsh(centred.T @ centred / len(z)).clamp(min=0)
    square = float(mean @ mean)
    if count < _SAMPLES:  # Few samples add their noise to the square of the mean.
        square = max(0.0, square - float(v.sum()) / count)
    place = 1 + square
    low, high = float(v.min()), float(v.max())
    return low / (place + low) / (place + high)
