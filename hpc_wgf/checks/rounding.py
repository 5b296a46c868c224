"""How far apart rounding may put two computations of one quantity."""

from __future__ import annotations

import torch
from torch import Tensor


def rounding(precision: float, spread: float, size: float) -> float:
    """√ε s + ε^¾ m for a quantity of standard deviation s = `spread` over the samples and largest
    absolute value m = `size`, ε = `precision`.

    The zero of an energy, and the origin of x, are arbitrary. What is measured is therefore the
    spread; the size counts for its last digits alone, which a large constant takes away."""
    return float(precision**0.5 * spread + precision**0.75 * size)


def rounding_of(values: Tensor) -> float:
    """`rounding` of samples, (n,) or (n, d), in their own precision; d coordinates together."""
    rows = values.double().reshape(len(values), -1)
    spread = float((rows - rows.mean(0)).square().sum(1).mean().sqrt())
    return rounding(torch.finfo(values.dtype).eps, spread, float(rows.abs().max()))
