"""Clusters of samples: where a density has its mass, and how wide it is there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .radial_basis import farthest_points

_ROUNDS = 50  # of Lloyd's iteration at most


class Clusters(NamedTuple):
    """K clusters of samples."""

    centres: Tensor
    """Their means, (K, d), in units of x."""
    shares: Tensor
    """Their shares of the samples, (K,)."""
    variance: float
    """Variance within a cluster, the mean over samples and coordinates, in units of x²."""


def clusters_of(x: Tensor, count: int) -> Clusters:
    """The clusters of samples x, (n, d), by Lloyd's iteration from farthest points. A function of
    the samples alone. Errors: `InputError` for fewer different samples.

    Source: S. Lloyd, IEEE Trans. Inform. Theory 28 (1982) 129; T. F. Gonzalez, Theor. Comput. Sci.
    38 (1985) 293."""
    centres = farthest_points(x, count)
    member = _nearest(x, centres)
    for _ in range(_ROUNDS):
        sizes = torch.bincount(member, minlength=count).double()
        sums = torch.zeros_like(centres).index_add_(0, member, x)
        # One that has lost all its samples stays where it is.
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
        before, member = member, _nearest(x, centres)
        if torch.equal(before, member):
            break
    sizes = torch.bincount(member, minlength=count).double()
    # Where every sample is its own cluster, as wide as all of them.
    variance = (x - centres[member]).square().mean() or x.var() or 1.0
    return Clusters(centres, sizes / len(x), float(variance))


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    """The number of the nearest centre, (n,)."""
    middle = centres.mean(0)  # Squares of distances lose the digits that all have in common.
    near, to = x - middle, centres - middle
    return (to.square().sum(1) - 2 * near @ to.T).argmin(1)
