"""The normalisation Z = ∫ e^{−V/β} of the stationary density, by importance weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..parallel import tree_sum

_NAN = float("nan")
_LARGEST = 300.0  # logarithm of a weight over the mean one, whose square can be represented


class Partition(NamedTuple):
    """log Z from samples x of a density ρ, and how many of them tell it."""

    log_z: float
    """log Z, Z = E[w] with the weights w = e^{−V(x)/β}/ρ(x)."""
    error: float
    """Its standard error, of first order: (Var w/n)^½/E[w]."""
    effective: float
    """(Σw)²/Σw², of n samples."""


UNKNOWN = Partition(_NAN, _NAN, _NAN)


def partition(values: Tensor, beta: float, mean: float, ensemble: Ensemble) -> Partition:
    """From φ = V + β log ρ at this rank's samples, (n_local,), not-a-number where ρ is not known,
    and its `mean` over all ranks: log w = −φ/β. Collective, one all-reduce."""
    sums = []
    # Chunk by chunk, so that sums are the same on any number of ranks.
    for chunk, part in zip(
        ensemble.chunks, values.split(list(map(len, ensemble.points))), strict=True
    ):
        known = ~part.isnan()
        weights = ((mean - part[known].double()) / beta).clamp(max=_LARGEST).exp()
        if (own := chunk.weight) is not None:
            weights = own[known].double() * weights
        sums.append(torch.stack([weights.sum(), weights.square().sum(), known.sum().double()]))
    total, square, count = ensemble.communicator.sum(tree_sum(sums)).tolist()
    if not (total > 0 and math.isfinite(square)):
        return UNKNOWN
    spread = max(0.0, square * count / total**2 - 1.0)
    return Partition(
        log_z=math.log(total / count) - mean / beta,
        error=(spread / count) ** 0.5,
        effective=total**2 / square,
    )
