"""The mass of a density that is known up to a factor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogMass:
    """`value`: log ∫ λ. `standard_error`: its standard error. `contributing_samples`: samples that
    tell it, of those drawn from λ or of those drawn from the other density, whichever are fewer."""

    value: float
    standard_error: float
    contributing_samples: float


def log_mass(own: Tensor, other: Tensor) -> LogMass:
    """log ∫ λ from log λ − log g at n draws of λ/∫λ (`own`) and at n draws of a probability
    density g (`other`; −∞ where λ is 0): the ℓ of the two acceptance ratios

        Σ_own σ(ℓ − u) = Σ_other σ(u − ℓ),   σ(t) = 1/(1 + e⁻ᵗ),

    which of all estimates from both samples has the smallest variance (C. H. Bennett, J. Comput.
    Phys. 22, 1976, eqs. 12a, 12b). As σ is bounded, neither tails nor narrow modes that g misses
    can bias it unseen: they leave few samples that tell.
    """
    finite = torch.cat([own, other[other.isfinite()]])
    low, high = float(finite.min()), float(finite.max())
    for _ in range(200):  # halvings of an interval of doubles
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        excess = torch.sigmoid(middle - own).sum() > torch.sigmoid(other - middle).sum()
        low, high = (low, middle) if excess else (middle, high)
    value = 0.5 * (low + high)
    a, b = torch.sigmoid(value - own), torch.sigmoid(other - value)
    slope = float((a * (1 - a)).mean() + (b * (1 - b)).mean())
    standard_error = float(((a.var() + b.var()) / len(own)).sqrt()) / max(slope, 1e-300)
    return LogMass(value, standard_error, float(min(a.sum(), b.sum())))
