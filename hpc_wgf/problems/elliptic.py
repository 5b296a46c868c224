"""A Bayesian inverse problem: the coefficient and a boundary value of an elliptic equation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .potentials import Potential

_PLACES = (0.25, 0.75)
_FROM, _TO, _POINTS = -8.0, 40.0, 96_001  # of u₁, over which e^{−V/β} is integrated


class EllipticInverse(Potential):
    """V(u) = |G(u) − y|²/(2 · 0.01) + |u|²/(2 · 100), y = (27.5, 79.7), the negative logarithm of a
    posterior density of u ∈ ℝ² [DJKO 4.4].

    G(u) = (p(¼), p(¾)) are values of the solution p(x) = u₂x + e^{−u₁}(x − x²)/2 of
    −(e^{u₁}p')' = 1 on (0, 1) with p(0) = 0 and p(1) = u₂."""

    dimension = 2
    data = (27.5, 79.7)
    """y."""
    noise, prior = 0.01, 100.0

    def __repr__(self) -> str:
        return "EllipticInverse()"

    def __call__(self, u: Tensor) -> Tensor:
        inverse = torch.exp(-u[:, 0])
        value = u.square().sum(1) / (2 * self.prior)
        for x, y in zip(_PLACES, self.data, strict=True):
            misfit = x * u[:, 1] + 0.5 * (x - x * x) * inverse - y
            value = value + misfit.square() / (2 * self.noise)
        return value

    def marginal(self, beta: float) -> tuple[Tensor, Tensor, Tensor]:
        """u₁ on equal steps, (points,), log ∫ e^{−V/β} du₂ there and the mean of u₂ given u₁: as V
        is a parabola of u₂, in closed form."""
        u = torch.linspace(_FROM, _TO, _POINTS, dtype=torch.float64)
        half = torch.exp(-u)
        curvature = sum(x * x for x in _PLACES) / self.noise + 1 / self.prior
        slope, rest = torch.zeros_like(u), u.square() / (2 * self.prior)
        for x, y in zip(_PLACES, self.data, strict=True):
            misfit = y - 0.5 * (x - x * x) * half
            slope, rest = slope + x * misfit / self.noise, rest + misfit.square() / (2 * self.noise)
        least = rest - slope.square() / (2 * curvature)
        return u, -least / beta + 0.5 * math.log(2 * math.pi * beta / curvature), slope / curvature

    def log_partition(self, beta: float) -> float:
        u, log_density, _ = self.marginal(beta)
        return float(torch.logsumexp(log_density, 0) + torch.log(u[1] - u[0]))
