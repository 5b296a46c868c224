"""Energies F(ρ) and forces f = ∇ δF/δρ, evaluated at samples of the density ρ."""

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
from ..kinds import check_kind, check_number
from .moving import MovingPotentialEnergy
from .potentials import Potential, SumOfPotentials


class LocalEnergy(Protocol):
    """F(ρ) = E_ρ[φ(x, ρ(x))], an energy without interaction. Particles move by x' = −f(x)."""

    needs_density: bool
    """Whether φ depends on ρ(x), and not on x alone."""

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        """φ at the samples `x`, (n, d), where log ρ is `log_density`, (n,): (n,), differentiable in
        both arguments."""
        ...

    def force(self, cloud: Cloud) -> Tensor:
        """f = ∇ δF/δρ at the samples of `cloud`, (n, d)."""
        ...


Energy = LocalEnergy | InteractionEnergy
"""A part of an energy."""


@dataclass(frozen=True)
class PotentialEnergy:
    """F = ∫ V ρ, f = ∇V."""

    potential: Potential
    """The potential V."""
    needs_density = False

    def __post_init__(self) -> None:
        check_kind(
            self.potential, "potential", ("gradient", "dimension"),
            "wrap a function (n, d) → (n,) of yours as UserPotential(function, name)",
        )  # fmt: skip

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.potential(x)

    def force(self, cloud: Cloud) -> Tensor:
        return self.potential.gradient(cloud.x)


@dataclass(frozen=True)
class Entropy:
    """F = β ∫ ρ log ρ, f = β ∇ log ρ: the energy of diffusion, ∂ₜρ = β Δρ."""

    beta: float = 1.0
    """The diffusion coefficient β ≥ 0."""
    needs_density = True

    def __post_init__(self) -> None:
        check_number(self.beta, "the diffusion coefficient beta")
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
    """F = c/(m−1) ∫ ρᵐ, f = c m ρ^{m−1} ∇ log ρ, m > 1: the energy of the porous medium equation
    ∂ₜρ = c Δρᵐ [PWGF (3.8), (3.9)].

    ρ^{m−1} is computed as e^{(m−1) log ρ}, which neither overflows nor underflows before the power
    itself does. At the edge of a compact support f has a limit (see the module `compact`).
    """

    m: float
    """The exponent m > 1."""
    factor: float = 1.0
    """The factor c ≥ 0."""
    needs_density = True

    def __post_init__(self) -> None:
        check_number(self.m, "the exponent m of an internal energy")
        check_number(self.factor, "the factor of an internal energy")
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
    """The force f at the samples of a chunk, in two summands, and the integrand of the energy."""

    position: Tensor
    """The force of the potentials and interactions, (n, d)."""
    density: Tensor | None
    """The force of the parts that depend on ρ(x), (n, d). None if there are none."""
    value: Tensor | None
    """The integrand φ, whose mean over the samples is F, (n,). None if it was not asked for."""

    @property
    def total(self) -> Tensor:
        """f = ∇ δF/δρ."""
        return self.position if self.density is None else self.position + self.density


class SumOfEnergies:
    """F = Σᵢ Fᵢ, with the parts sorted into interactions, parts of x alone, and parts of ρ(x)."""

    def __init__(self, parts: Sequence[Energy]):
        """Errors: `InputError` if there are no parts."""
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
    def moves(self) -> bool:
        """Whether a potential depends on time."""
        return bool(self._moving)

    @property
    def _moving(self) -> list[MovingPotentialEnergy]:
        return [part for part in self.of_position if isinstance(part, MovingPotentialEnergy)]

    def at(self, time: float) -> SumOfEnergies:
        """F at another time: this one where nothing moves."""
        if not self.moves:
            return self
        moving = MovingPotentialEnergy
        return SumOfEnergies(
            [part.at(time) if isinstance(part, moving) else part for part in self.parts]
        )

    def time_derivative(self, x: Tensor) -> Tensor:
        """∂ₜφ at x, (n, d) → (n,), of the potentials that move."""
        return _added([part.time_derivative(x) for part in self._moving], x[:, 0])

    @property
    def needs_density(self) -> bool:
        """Whether any part depends on ρ(x) itself."""
        return bool(self.of_density)

    @property
    def keeps_centre(self) -> bool:
        """Whether F has interactions, and no translation changes it: E[x] is then constant."""
        invariant = all(isinstance(part, Entropy | InternalEnergy) for part in self.of_density)
        return bool(self.interactions) and not self.of_position and invariant

    def density_integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        """Σφ over the parts that depend on ρ(x), at x, (n, d), where log ρ is `log_density`, (n,):
        (n,), differentiable in both arguments."""
        return _added([part.integrand(x, log_density) for part in self.of_density], x[:, 0])

    def density_force(self, cloud: Cloud) -> Tensor:
        """Σf over the parts that depend on ρ(x), at the samples of `cloud`: (n, d)."""
        return _added([part.force(cloud) for part in self.of_density], cloud.x)

    def forces(
        self, clouds: Sequence[Cloud], particles: Particles, *, values: bool = False
    ) -> list[ChunkForce]:
        """f, and with `values` also φ, at the samples of every chunk of this rank.

        `particles` are the same samples together with those of the other ranks. Collective if there
        are interactions."""
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

    @property
    def is_fokker_planck(self) -> bool:
        """Whether the energy is ∫Vρ + β∫ρ log ρ, that of a Fokker–Planck equation. V or β may be
        0."""
        return all(isinstance(part, PotentialEnergy | Entropy) for part in self.parts)

    def convexity(self) -> float | None:
        """κ, so that F is κ-convex along geodesics of W₂ as far as it is known: λ_min ∇²V of the
        potentials, 0 of entropy and internal energies (R. J. McCann, Adv. Math. 128 (1997) 153),
        that of `InteractionEnergy.convexity`; sums add. None where a part does not say it."""
        potential = self.potential()
        found = [0.0 if potential is None else potential.convexity()]
        found += [part.convexity() for part in self.interactions]
        known = all(isinstance(part, Entropy | InternalEnergy) for part in self.of_density)
        alone = all(isinstance(part, PotentialEnergy) for part in self.of_position)
        if not (known and alone) or any(value is None for value in found):
            return None
        return sum(value for value in found if value is not None)

    def potential(self) -> Potential | None:
        """The sum V of all potentials that do not move; None if there are none."""
        potentials = [part.potential for part in self.parts if isinstance(part, PotentialEnergy)]
        if len(potentials) < 2:
            return potentials[0] if potentials else None
        return SumOfPotentials([(1.0, potential) for potential in potentials])

    def present_potential(self) -> Potential | None:
        """`potential` together with those that move, as they are at the time of this energy."""
        fixed = self.potential()
        terms = [] if fixed is None else [(1.0, fixed)]
        terms += [(part.factor, part.present) for part in self._moving]
        return SumOfPotentials(terms) if self._moving else fixed

    @property
    def has_potentials_alone(self) -> bool:
        """Whether all parts that depend on x alone are those of potentials."""
        known = PotentialEnergy | MovingPotentialEnergy
        return all(isinstance(part, known) for part in self.of_position)

    def beta(self) -> float:
        """The sum β of the diffusion coefficients of all entropies; 0 if there are none."""
        return sum(part.beta for part in self.parts if isinstance(part, Entropy))


def potentials_of(energy: SumOfEnergies) -> list[Potential]:
    """The potentials of an energy, with those that are added up in one each by itself."""
    wholes = [part.potential for part in energy.parts if isinstance(part, PotentialEnergy)]
    return [
        term
        for whole in wholes
        for term in ([t for _, t in whole.terms] if isinstance(whole, SumOfPotentials) else [whole])
    ]


def _added(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """The sum of the tensors, or zeros of the shape of `like` if there are none."""
    if len(parts) == 1:  # row by row, on which the last bits of later products depend
        return parts[0].contiguous()
    return torch.stack(list(parts)).sum(0) if parts else torch.zeros_like(like)
