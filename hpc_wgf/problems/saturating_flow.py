"""The exact flow of a paraboloid that is drawn to its centre and cannot be denser than a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .attraction import attraction
from .compact import Paraboloid
from .flow import Flow
from .mobility import Saturating

_BISECTIONS = 60


@dataclass(frozen=True)
class SaturatingFlow:
    """∂ₜu = ∇·(k x u (1 − u)) from u₀ = h (1 − |x|²/R²)₊, h ≤ 1, in coordinates about its centre
    and with u the density over its limit [DJKO 4.3].

    With E = e^{kdt} and q(r₀) = 1 + u₀(r₀)(E − 1), characteristics are at r = r₀ e^{−kt} q^{2/d}
    and carry u = u₀E/q; the mass within is

        m(r₀, t) = m(r₀, 0) + ω_d (E − 1) r₀^d u₀(r₀)²,    ω_d the volume of the unit ball.

    A shock forms at the edge where E = 1 + d/(4h). From then on the mass within r is the least over
    the branches of this curve, of which it is the first one, up to where this holds all mass: there
    the shock is. Particles keep the mass within them, z ↦ z R/|z| with m(R, t) = m(|z|, 0)."""

    start: Paraboloid
    """The start density, whose exponent is 1."""
    limit: float
    """The density at which nothing moves, that of u = 1."""
    rate: float
    """k > 0, in 1/t."""

    @classmethod
    def known(cls, flow: Flow, start: object) -> Self | None:
        """The flow where particles are drawn to their centre alone, by a parabola about the centre
        of the start or by each other."""
        if not isinstance(flow.mobility, Saturating) or flow.drift is not None:
            return None
        if not isinstance(start, Paraboloid) or start.exponent != 1.0:
            return None
        rate = attraction(flow.energy.parts, start.centre, start.radius)
        return cls(start, flow.mobility.limit, rate) if rate is not None and rate > 0 else None

    @property
    def height(self) -> float:
        """h."""
        return float(self.start.log_density(self.start.centre[None]).exp()) / self.limit

    @property
    def shock_time(self) -> float:
        """Time after the start at which the shock forms."""
        d = self.start.dimension
        return math.log(1 + d / (4 * self.height)) / (self.rate * d)

    def radius(self, r: Tensor, t: float) -> Tensor:
        """Where those particles are that were at r at the start, distances from the centre."""
        d, R, h = self.start.dimension, self.start.radius, self.height
        grown = math.expm1(self.rate * d * t)
        s = (r / R).clamp(max=1.0)

        def mass(s: Tensor) -> Tensor:
            """m(·, 0) in units of ω_d R^d."""
            return h * (s**d - d / (d + 2) * s ** (d + 2))

        wanted, low, high = mass(s), torch.zeros_like(s), s.clone()
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            found = mass(middle) + grown * middle**d * (h * (1 - middle**2)) ** 2
            below = found < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        # All mass is within two radii of the curve: what is found is the first, where the shock is.
        q = 1 + h * (1 - high**2) * grown
        return R * high * math.exp(-self.rate * t) * q ** (2 / d) * (r / R).clamp(min=1.0)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        if t == 0.0:
            return z.double().cpu()
        step = z.double().cpu() - self.start.centre
        r = step.norm(dim=1)
        moved = self.radius(r, t)
        return self.start.centre + step * (moved / r.clamp(min=1e-300))[:, None]
