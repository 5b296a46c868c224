"""Mixtures of Gaussians that stay mixtures: their law, and on the line their flow, by distribution
functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeGuard

import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .densities import Density, Gaussian, Mixture
from .gaussian_flow import GaussianFlow
from .matrices import dense
from .potentials import Potential

_MOST = 200  # Iterations; each halves the step or the bracket.
_ROUNDING = 1e-14  # of x and of the widths of components, at which an iteration ends


def mixture_law(potential: Potential | None, beta: float, start: Mixture, t: float) -> Mixture:
    """ρ(t) at time t after the start, in any dimension, of the flow of a potential V that is a
    polynomial of degree 2, or None for V = 0, and diffusion β ≥ 0 from a mixture λ = Σ_k π_k λ_k of
    Gaussians. The equation is linear in ρ, so that every component moves as it would alone (see
    `GaussianFlow`): for V = 0, ρ(t) = Σ_k π_k N(m_k, C_k + 2βt I)."""
    flows = [
        GaussianFlow(potential, beta, part)
        for part in start.components
        if isinstance(part, Gaussian)
    ]
    parts = [Gaussian(start.dimension, *flow.law(t)) for flow in flows]
    return Mixture(parts, start.weights.tolist())


@dataclass(frozen=True)
class MixtureFlow:
    """The flow of V with V'' = q, any number, and diffusion β from λ = Σ_k π_k N(m_k, σ_k²) on the
    line. With the distribution function F_t of ρ(t) (see `mixture_law`), samples move by

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

    @staticmethod
    def knows(start: Density) -> TypeGuard[Mixture]:
        """Whether `start` is a mixture of Gaussians on the line."""
        return (
            isinstance(start, Mixture)
            and start.dimension == 1
            and all(isinstance(part, Gaussian) for part in start.components)
        )

    def law(self, t: float) -> Mixture:
        """ρ(t), at time t after the start."""
        return mixture_law(self.potential, self.beta, self.start, t)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        if self.beta == 0.0:  # All samples move by one map, whichever component they are of.
            first = self.start.components[0]
            assert isinstance(first, Gaussian)
            return GaussianFlow(self.potential, self.beta, first)(t, z)
        before, after = _Distribution.of(self.law(0.0)), _Distribution.of(self.law(t))
        column, x = z[:, 0], torch.empty_like(z[:, 0])
        below, above = before.log_below(column), before.mirrored().log_below(-column)
        lower = below <= above
        x[lower] = after.quantile(below[lower])
        x[~lower] = -after.mirrored().quantile(above[~lower])
        return x[:, None]


@dataclass(frozen=True)
class _Distribution:
    """F(x) = Σ_k π_k Φ((x − m_k)/s_k)."""

    weights: Tensor
    """π_k, (components,)."""
    means: Tensor
    """m_k, (components,)."""
    deviations: Tensor
    """s_k, (components,)."""

    @classmethod
    def of(cls, law: Mixture) -> _Distribution:
        """That of a mixture of Gaussians on the line."""
        moments = [(part.mean, part.covariance) for part in law.components
                   if isinstance(part, Gaussian)]  # fmt: skip
        means = torch.cat([mean for mean, _ in moments])
        variances = torch.stack([dense(covariance, 1)[0, 0] for _, covariance in moments])
        return cls(law.weights, means, variances.sqrt())

    def mirrored(self) -> _Distribution:
        """The law of −x."""
        return _Distribution(self.weights, -self.means, self.deviations)

    def log_below(self, x: Tensor) -> Tensor:
        """log F(x), (n,) → (n,)."""
        logs = torch.special.log_ndtr((x[:, None] - self.means) / self.deviations)
        return torch.logsumexp(self.weights.log() + logs, 1)

    def _log_density(self, x: Tensor) -> Tensor:
        """log F'(x), (n,) → (n,)."""
        arms = (x[:, None] - self.means) / self.deviations
        scales = self.weights.log() - self.deviations.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(scales - 0.5 * arms * arms, 1)

    def quantile(self, level: Tensor) -> Tensor:
        """x with log F(x) = `level`, (n,) → (n,): Newton's method, and bisection where that leaves
        the bracket or does not halve the step. Not a number where `level` is none.

        A quantile of the mixture lies between the smallest and the largest of its components'."""
        scores = torch.from_numpy(scipy.special.ndtri_exp(level.numpy()))
        own = self.means + self.deviations * scores[:, None]
        margin = _ROUNDING * (own.abs() + self.deviations).amax(1)
        low, high = own.amin(1) - margin, own.amax(1) + margin
        x, step = 0.5 * (low + high), high - low
        done = torch.zeros_like(x, dtype=torch.bool)
        for _ in range(_MOST):
            below = self.log_below(x)
            low, high = torch.where(below < level, x, low), torch.where(below < level, high, x)
            newton = x - (below - level) * torch.exp(below - self._log_density(x))
            halved = (newton - x).abs() < 0.5 * step
            trusted = (halved & (newton > low) & (newton < high)) | ((newton - x).abs() <= margin)
            found = torch.where(trusted, newton, 0.5 * (low + high))
            found, step = torch.where(done, x, found), (found - x).abs()
            done, x = done | (step <= margin), found
            if bool((done | x.isnan()).all()):
                break
        return x
