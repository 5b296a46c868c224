"""The pressures of entropy and internal energies: f = ∇p/ρ with p = βρ or p = cρᵐ."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .energies import Entropy, InternalEnergy, SumOfEnergies


def pressures(energy: SumOfEnergies, log_density: Tensor) -> Iterator[tuple[float, Tensor]]:
    """m and p/ρ = c ρ^{m−1} of every entropy, with m = 1 and c = β, and internal energy, where
    log ρ is `log_density`, (n,) in float64: (n,) each."""
    for part in energy.of_density:
        if isinstance(part, Entropy):
            yield 1.0, torch.full_like(log_density, part.beta)
        elif isinstance(part, InternalEnergy):
            yield part.m, part.factor * torch.exp((part.m - 1) * log_density)


def without_pressure(energy: SumOfEnergies) -> list[object]:
    """The parts that depend on ρ(x) and of which no pressure is known."""
    return [part for part in energy.of_density if not isinstance(part, Entropy | InternalEnergy)]
