"""The energy of fermions: entropy of what is there and of what is free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..kinds import check_number

_FULL = 1e-6  # of the limit, that is always left free


@dataclass(frozen=True)
class FermiEntropy:
    """F = β ∫ [ρ log ρ + (R − ρ) log(1 − ρ/R)],  f = β s/(1 − ρ/R),  s = ∇ log ρ.

    With the mobility (1 − ρ/R) I of `Saturating` the flow of F is diffusion, ∂ₜρ = β Δρ, below the
    limit R."""

    beta: float
    """The diffusion coefficient β ≥ 0."""
    limit: float = 1.0
    """R > 0, the largest density. Of a problem of mass μ it is 1/μ times as large."""
    needs_density = True

    def __post_init__(self) -> None:
        check_number(self.beta, "beta of a fermi entropy")
        check_number(self.limit, "the limit of a fermi entropy")
        if not (self.beta >= 0 and math.isfinite(self.beta)):
            raise InputError(
                f"beta of a fermi entropy must not be negative, got {self.beta}: give a finite "
                "number from 0 on"
            )
        if not (self.limit > 0 and math.isfinite(self.limit)):
            raise InputError(
                f"the limit of a fermi entropy must be positive, got {self.limit}: give the "
                "largest density that there may be"
            )

    def _free(self, log_density: Tensor) -> Tensor:
        """1 − ρ/R, (n,), at least 10⁻⁶; not a number beyond the limit, where there is no energy."""
        free = 1 - log_density.exp() / self.limit
        return torch.where(free < -_FULL, torch.nan, free.clamp(min=_FULL))

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        # (R − ρ)/ρ log(1 − ρ/R) → −1 for ρ → 0, which is left to the series of log1p there.
        share = log_density.exp() / self.limit
        free = self._free(log_density)
        tiny = share < torch.finfo(share.dtype).tiny
        safe = torch.where(tiny, 0.5, share)
        of_free = free / safe * torch.log1p(-safe.clamp(max=1 - _FULL))
        return self.beta * (log_density + torch.where(tiny, -1.0, of_free))

    def force(self, cloud: Cloud) -> Tensor:
        return (self.beta / self._free(cloud.log_density))[:, None] * cloud.score
