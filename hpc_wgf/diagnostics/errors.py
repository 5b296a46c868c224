"""The distance of a map from the exact one: an upper bound of W₂ that is 0 for the exact map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..parallel import tree_sum


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
    exact, sizes = exact.to(z.device), [len(chunk.x) for chunk in ensemble.chunks]
    apart = zip((x.double() - exact).split(sizes), (exact - z.double()).split(sizes), strict=True)
    # Chunk by chunk, so that any number of ranks adds the same numbers in the same order.
    sums = tree_sum([
        torch.stack([ensemble.square(k, error), ensemble.square(k, moved)])
        for k, (error, moved) in enumerate(apart)
    ])  # fmt: skip
    absolute, displacement = ensemble.mean(sums).sqrt().tolist()
    return MapError(absolute, displacement)
