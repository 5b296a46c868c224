"""Energies F(ρ) of a density known by samples, and the forces f = ∇ δF/δρ at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .potentials import Potential, SumOfPotentials


@dataclass(frozen=True)
class Cloud:
    """Samples of ρ on this rank: x (n, d), log ρ(x) (n,), score ∇ log ρ(x) (n, d)."""

    x: Tensor
    log_density: Tensor
    score: Tensor


class Energy(Protocol):
    """F(ρ) = E_ρ[φ]; every particle moves with velocity −f."""

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        """φ with F ≈ mean of φ over the samples, (n,); differentiable in both arguments."""
        ...

    def force(self, cloud: Cloud) -> Tensor:
        """f = ∇ δF/δρ at the samples, (n, d)."""
        ...


@dataclass(frozen=True)
class PotentialEnergy:
    """F = ∫ V ρ, f = ∇V."""

    potential: Potential

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.potential(x)

    def force(self, cloud: Cloud) -> Tensor:
        return self.potential.gradient(cloud.x)


@dataclass(frozen=True)
class Entropy:
    """F = β ∫ ρ log ρ, f = β ∇ log ρ: diffusion with coefficient β ≥ 0."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise InputError(
                f"the diffusion coefficient beta must not be negative, got {self.beta}"
            )

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.beta * log_density

    def force(self, cloud: Cloud) -> Tensor:
        return self.beta * cloud.score


class SumOfEnergies:
    """F = Σ_i F_i."""

    def __init__(self, parts: Sequence[Energy]):
        if not parts:
            raise InputError("an energy needs at least one part")
        self.parts = list(parts)

    def __repr__(self) -> str:
        return f"SumOfEnergies({self.parts})"

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return torch.stack([part.integrand(x, log_density) for part in self.parts]).sum(0)

    def force(self, cloud: Cloud) -> Tensor:
        return torch.stack([part.force(cloud) for part in self.parts]).sum(0)

    def potential(self) -> Potential | None:
        """The whole potential V where the energy is Fokker–Planck's ∫Vρ + β∫ρ log ρ."""
        potentials = [part.potential for part in self.parts if isinstance(part, PotentialEnergy)]
        known = all(isinstance(part, PotentialEnergy | Entropy) for part in self.parts)
        if not potentials or not known:
            return None
        if len(potentials) == 1:
            return potentials[0]
        return SumOfPotentials([(1.0, potential) for potential in potentials])

    def beta(self) -> float:
        """The whole diffusion coefficient."""
        return sum(part.beta for part in self.parts if isinstance(part, Entropy))
