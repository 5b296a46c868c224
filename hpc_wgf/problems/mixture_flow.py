"""Mixtures of Gaussians that stay mixtures: their law, and where coordinates are independent their
flow, by distribution functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .densities import Gaussian, Mixture
from .gaussian_flow import GaussianFlow
from .line_mixture import LineMixture
from .potentials import Potential
from .products import Factor, gaussian_factors, lines


def mixture_law(
    potential: Potential | None, beta: float, start: Mixture, t: float, attraction: float = 0.0
) -> Mixture:
    """ρ(t) at time t after the start, in any dimension, of the flow of a potential V that is a
    polynomial of degree 2, or None for V = 0, diffusion β ≥ 0 and `attraction` k to the mean of all
    (see `GaussianFlow`) from a mixture λ = Σ_k π_k λ_k of Gaussians. The equation is linear in ρ
    once the mean of all is known, so that every component moves as it would alone: for V = 0 and
    k = 0, ρ(t) = Σ_k π_k N(m_k, C_k + 2βt I)."""
    flows = _flows(potential, beta, start, attraction)
    parts = [Gaussian(start.dimension, *flow.law(t)) for flow in flows]
    return Mixture(parts, start.weights.tolist())


def _flows(
    potential: Potential | None, beta: float, start: Mixture, attraction: float
) -> list[GaussianFlow]:
    """The flow of every component."""
    parts = [part for part in start.components if isinstance(part, Gaussian)]
    centre = start.weights @ torch.stack([part.mean for part in parts])
    return [GaussianFlow(potential, beta, part, attraction, centre) for part in parts]


@dataclass(frozen=True)
class MixtureFlow:
    """The flow of V with a diagonal ∇²V, of any signs, and diffusion β from a mixture
    λ = Σ_k π_k N(m_k, C_k) whose coordinates are independent, as on the line. They stay so: with
    the distribution function F_t of a coordinate of ρ(t) (see `mixture_law`), samples move by

        x = F_t⁻¹(F_0(z)).

    It is solved for to rounding errors of log F_t or log(1 − F_t), whichever is smaller. That gives
    ten digits of x in the tails too, and fewer only in gaps between components where ρ(t) is far
    below 1e-6 of its height.
    """

    potential: Potential | None
    """V, with a known `hessian`; None for V = 0."""
    beta: float
    """The diffusion coefficient β ≥ 0."""
    start: Mixture
    """The start density λ."""
    attraction: float = 0.0
    """k of an attraction to the mean of all (see `GaussianFlow`)."""

    @cached_property
    def _factors(self) -> Sequence[Factor]:
        found = gaussian_factors(self.start)
        assert found is not None
        return found

    def law(self, t: float) -> Mixture:
        """ρ(t), at time t after the start."""
        return mixture_law(self.potential, self.beta, self.start, t, self.attraction)

    def _coordinates(self, t: float) -> list[LineMixture]:
        """The laws of the coordinates of ρ(t): what was equal in one of them at the start remains
        so."""
        return lines(self.law(t), self._factors)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        if self.beta == 0.0:  # All samples move by one map, whichever component they are of.
            return _flows(self.potential, self.beta, self.start, self.attraction)[0](t, z)
        laws = zip(self._coordinates(0.0), self._coordinates(t), z.unbind(1), strict=True)
        return torch.stack([_carried(*coordinate) for coordinate in laws], 1)


def _carried(before: LineMixture, after: LineMixture, z: Tensor) -> Tensor:
    """F_t⁻¹(F_0(z)), (n,) → (n,), from the nearer tail."""
    x = torch.empty_like(z)
    below, above = before.log_below(z), before.mirrored().log_below(-z)
    lower = below <= above
    x[lower] = after.quantile(below[lower])
    x[~lower] = -after.mirrored().quantile(above[~lower])
    return x
