"""The distance of a map from the exact one: an upper bound of W₂ that is 0 for the exact map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ensemble import Ensemble


@dataclass(frozen=True)
class MapError:
    """The error of a map T in mean square, and the distance by which to measure it."""

    absolute: float
    """(E|T(z) − T_exact(z)|²)^½, at least the distance W₂ of the two images of the start density,
    in units of x."""
    displacement: float
    """(E|T_exact(z) − z|²)^½, how far the exact map moves the samples, in units of x."""


def map_error(z: Tensor, x: Tensor, exact: Tensor, ensemble: Ensemble) -> MapError:
    """(E|T(z) − T_exact(z)|²)^½ and (E|T_exact(z) − z|²)^½ over the samples of `ensemble`.

    `z`, `x` = T(z) and `exact` = T_exact(z), (n_local, d) each, are those of this rank. Collective,
    one all-reduce."""
    exact, weights = exact.to(z.device), ensemble.own_weights
    squares = [(x.double() - exact).square(), (exact - z.double()).square()]
    if weights is not None:
        squares = [weights.double()[:, None] * each for each in squares]
    sums = torch.stack([each.sum() for each in squares])
    absolute, displacement = ensemble.mean(sums).sqrt().tolist()
    return MapError(absolute, displacement)
