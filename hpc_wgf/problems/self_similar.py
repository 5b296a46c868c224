"""The self-similar flow of the porous medium equation, at rest or in a parabola."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .compact import Barenblatt
from .gaussian_flow import decayed
from .potentials import Potential


@dataclass(frozen=True)
class BarenblattFlow:
    """The flow ∂ₜρ = c Δρᵐ + ∇·(ρ∇V) with ∇²V = k I from a Barenblatt profile about z₀ at its
    time t₀. The profile keeps its form, and its samples move by

        x = m(t) + λ(t) (z − z₀),   m(t) = z₀ − ∫₀ᵗ e^{−ks} ds ∇V(z₀),
        λ^{1/b} = e^{−kt/b} + (c/t₀) ∫₀ᵗ e^{−ks/b} ds,   b = 1/(d(m − 1) + 2).

    For V = 0, λ = ((t₀ + c t)/t₀)^b. [PWGF (5.7)] An attraction to the mean m(t) is added to k in
    λ, not in m.
    """

    start: Barenblatt
    """The start density, with centre z₀, time t₀ and exponent m."""
    factor: float
    """The factor c of the energy."""
    potential: Potential | None = None
    """V; None for 0."""
    curvature: float = 0.0
    """k, of either sign."""
    attraction: float = 0.0
    """Of an interaction ½a|x − y|²: a, of either sign."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        centre, b = self.start.centre, self.start.alpha / self.start.dimension
        y = torch.tensor(self.curvature * t, dtype=torch.float64)
        s = (y + self.attraction * t) / b
        growth = torch.exp(-s) + self.factor * t / self.start.time * decayed(s)
        moved = centre
        if self.potential is not None:
            moved = centre - t * decayed(y) * self.potential.gradient(centre[None])[0]
        return moved + (z - centre) * growth**b
