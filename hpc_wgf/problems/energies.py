"""Energies F(ρ) of a density known by samples, and the forces f = ∇ δF/δρ at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..interactions import InteractionEnergy, Particles
from .potentials import Potential, SumOfPotentials


class LocalEnergy(Protocol):
    """F(ρ) = E_ρ[φ], φ a function of x and ρ(x); every particle moves with velocity −f."""

    needs_density: bool

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        """φ with F ≈ mean of φ over the samples, (n,); differentiable in both arguments."""
        ...

    def force(self, cloud: Cloud) -> Tensor:
        """f = ∇ δF/δρ at the samples, (n, d)."""
        ...


Energy = LocalEnergy | InteractionEnergy


@dataclass(frozen=True)
class PotentialEnergy:
    """F = ∫ V ρ, f = ∇V."""

    potential: Potential
    needs_density = False

    def __post_init__(self) -> None:
        if not hasattr(self.potential, "gradient"):
            raise InputError(
                f"{self.potential!r} is no potential: wrap a function (n, d) → (n,) of yours as "
                "UserPotential(function, name)"
            )

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.potential(x)

    def force(self, cloud: Cloud) -> Tensor:
        return self.potential.gradient(cloud.x)


@dataclass(frozen=True)
class Entropy:
    """F = β ∫ ρ log ρ, f = β ∇ log ρ: diffusion with coefficient β ≥ 0."""

    beta: float = 1.0
    needs_density = True

    def __post_init__(self) -> None:
        if not (self.beta >= 0 and math.isfinite(self.beta)):
            raise InputError(
                f"the diffusion coefficient beta must not be negative, got {self.beta}: give a "
                "finite number from 0 on"
            )

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.beta * log_density

    def force(self, cloud: Cloud) -> Tensor:
        return self.beta * cloud.score


@dataclass(frozen=True)
class InternalEnergy:
    """F = c/(m−1) ∫ ρᵐ, f = c m ρ^{m−1} ∇ log ρ, m > 1: the porous medium equation
    ∂ₜρ = c Δρᵐ [PWGF (3.8), (3.9)].

    ρ^{m−1} is taken from log ρ, which spans any number of magnitudes; at the edge of a compact
    support it is the smooth power that the density provides (see `compact`).
    """

    m: float
    factor: float = 1.0
    needs_density = True

    def __post_init__(self) -> None:
        if not (self.m > 1 and math.isfinite(self.m)):
            raise InputError(
                f"the exponent of an internal energy must be above 1, got m = {self.m}: "
                "for m = 1 use the entropy; fast diffusion, m < 1, is not solved"
            )
        if not (self.factor >= 0 and math.isfinite(self.factor)):
            raise InputError(
                "the factor of an internal energy must be finite and not negative, "
                f"got {self.factor}"
            )

    def _power(self, log_density: Tensor) -> Tensor:
        return torch.exp((self.m - 1) * log_density)

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.factor / (self.m - 1) * self._power(log_density)

    def force(self, cloud: Cloud) -> Tensor:
        return (self.factor * self.m * self._power(cloud.log_density))[:, None] * cloud.score


@dataclass(frozen=True)
class ChunkForce:
    """f at the samples of a chunk, (n, d) each: of the parts that know x alone, and of those that
    know the density (None without any). `value`: φ, (n,), where asked for."""

    position: Tensor
    density: Tensor | None
    value: Tensor | None

    @property
    def total(self) -> Tensor:
        """f = ∇ δF/δρ."""
        return self.position if self.density is None else self.position + self.density


class SumOfEnergies:
    """F = Σ_i F_i."""

    def __init__(self, parts: Sequence[Energy]):
        if not parts:
            raise InputError("an energy needs at least one part")
        self.parts = list(parts)
        self.interactions = [part for part in parts if isinstance(part, InteractionEnergy)]
        local = [part for part in parts if not isinstance(part, InteractionEnergy)]
        self.of_position = [part for part in local if not part.needs_density]
        self.of_density = [part for part in local if part.needs_density]

    def __repr__(self) -> str:
        return f"SumOfEnergies({self.parts})"

    @property
    def needs_density(self) -> bool:
        """Whether any part depends on ρ(x) itself."""
        return bool(self.of_density)

    def density_integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        """φ of the parts that know the density, (n,); differentiable."""
        return _added([part.integrand(x, log_density) for part in self.of_density], x[:, 0])

    def density_force(self, cloud: Cloud) -> Tensor:
        """f of the same parts, (n, d)."""
        return _added([part.force(cloud) for part in self.of_density], cloud.x)

    def forces(
        self, clouds: Sequence[Cloud], particles: Particles, *, values: bool = False
    ) -> list[ChunkForce]:
        """f, and φ with `values`, at every chunk of this rank; collective where particles
        interact. `particles`: the same samples with those of the other ranks."""
        fields = [part.fields(particles, potential=values) for part in self.interactions]
        result = []
        for k, cloud in enumerate(clouds):
            near = [field[k] for field in fields]
            position = [part.force(cloud) for part in self.of_position] + [f.force for f in near]
            value = None
            if values:
                local = [
                    part.integrand(cloud.x, cloud.log_density)
                    for part in (*self.of_position, *self.of_density)
                ]
                value = _added(local + [f.potential for f in near if f.potential is not None],
                               cloud.x[:, 0]).detach()  # fmt: skip
            result.append(
                ChunkForce(
                    _added(position, cloud.x),
                    self.density_force(cloud) if self.needs_density else None,
                    value,
                )
            )
        return result

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


def _added(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """Σ parts, zeros of the shape of `like` for none."""
    return torch.stack(list(parts)).sum(0) if parts else torch.zeros_like(like)
