"""Mixtures of Gaussians on the line: distribution function and quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

_MOST = 200  # Iterations; each halves the step or the bracket.
_ROUNDING = 1e-14  # of x and of the widths of components, at which an iteration ends


@dataclass(frozen=True)
class LineMixture:
    """F(x) = Σ_k π_k Φ((x − m_k)/s_k)."""

    weights: Tensor
    """π_k, (components,)."""
    means: Tensor
    """m_k, (components,)."""
    deviations: Tensor
    """s_k, (components,)."""

    @classmethod
    def normal(cls, mean: float, deviation: float) -> LineMixture:
        """N(`mean`, `deviation`²)."""
        parts = ([1.0], [mean], [deviation])
        return cls(*(torch.tensor(part, dtype=torch.float64) for part in parts))

    @property
    def components(self) -> list[tuple[float, float, float]]:
        """π_k, m_k and s_k of every component."""
        columns = (self.weights, self.means, self.deviations)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    @property
    def is_normal(self) -> bool:
        """Whether there is one component."""
        return len(self.means) == 1

    def mirrored(self) -> LineMixture:
        """The law of −x."""
        return LineMixture(self.weights, -self.means, self.deviations)

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

    def normal_quantile(self, scores: Tensor) -> Tensor:
        """F⁻¹(Φ(s)) for normal `scores` s, (n,) → (n,), from the nearer tail."""
        lower, x = scores <= 0, torch.empty_like(scores)
        level = torch.special.log_ndtr(-scores.abs())
        x[lower] = self.quantile(level[lower])
        x[~lower] = -self.mirrored().quantile(level[~lower])
        return x
