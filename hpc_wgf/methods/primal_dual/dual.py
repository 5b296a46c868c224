"""The dual form of an energy, F(ρ) = sup_h {E_ρ[𝒜(h)] − E_Γ[ℬ(h)]}, with h = eᵘ [VWGF Table 1]:

| F | Γ | 𝒜 | ℬ | optimal h |
|---|---|---|---|---|
| β∫ρ log ρ | a Gaussian μ | β(u + log μ) | β(eᵘ − 1) | ρ/μ |
| c/(m−1) ∫ρᵐ | uniform on a box of volume Ω | c m/(m−1) (eᵘ/Ω)^{m−1} | c e^{mu}/Ω^{m−1} | Ωρ |
| ∫ρ log(ρ/Q) | Q | u | eᵘ − 1 | ρ/Q |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .reference import BoxReference, GaussianReference, Reference, RowsReference


class Dual(Protocol):
    """𝒜, ℬ and Γ."""

    @property
    def reference(self) -> Reference:
        """Γ."""
        ...

    def at_samples(self, u: Tensor, x: Tensor) -> Tensor:
        """𝒜 at samples x, (n, d), of ρ, where log h is u: (n,); differentiable in both."""
        ...

    def at_reference(self, u: Tensor) -> Tensor:
        """ℬ at samples of Γ, where log h is u: (n,)."""
        ...


@dataclass(frozen=True)
class EntropyDual:
    """Of β∫ρ log ρ."""

    beta: float
    """β."""
    reference: GaussianReference
    """μ."""

    def at_samples(self, u: Tensor, x: Tensor) -> Tensor:
        return self.beta * (u + self.reference.log_density(x))

    def at_reference(self, u: Tensor) -> Tensor:
        return self.beta * u.expm1()


@dataclass(frozen=True)
class PowerDual:
    """Of c/(m−1) ∫ρᵐ."""

    m: float
    """m > 1."""
    factor: float
    """c."""
    reference: BoxReference
    """The box, which must contain the support of ρ."""

    def at_samples(self, u: Tensor, x: Tensor) -> Tensor:
        power = ((self.m - 1) * (u - self.reference.log_volume)).exp()
        return self.factor * self.m / (self.m - 1) * power

    def at_reference(self, u: Tensor) -> Tensor:
        return self.factor * (self.m * u - (self.m - 1) * self.reference.log_volume).exp()


@dataclass(frozen=True)
class RatioDual:
    """Of ∫ρ log(ρ/Q), Q known by samples."""

    reference: RowsReference
    """Q."""

    def at_samples(self, u: Tensor, x: Tensor) -> Tensor:
        return u

    def at_reference(self, u: Tensor) -> Tensor:
        return u.expm1()
