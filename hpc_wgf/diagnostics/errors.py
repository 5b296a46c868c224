"""Error of a map against the exact one, an upper bound of W₂ without a sampling floor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ensemble import Ensemble


@dataclass(frozen=True)
class MapError:
    """`absolute`: (E|T(z) − T_exact(z)|²)^½ ≥ W₂. `displacement`: (E|T_exact(z) − z|²)^½."""

    absolute: float
    displacement: float


def map_error(z: Tensor, x: Tensor, exact: Tensor, ensemble: Ensemble) -> MapError:
    """z, x = T(z), exact = T_exact(z): (n_local, d), of the samples of `ensemble`."""
    exact = exact.to(z.device)
    sums = torch.stack([(x.double() - exact).square().sum(), (exact - z.double()).square().sum()])
    absolute, displacement = ensemble.mean(sums).sqrt().tolist()
    return MapError(absolute, displacement)
