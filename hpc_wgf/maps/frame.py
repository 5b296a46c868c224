"""Where samples lie, and how wide: coordinates in which they have mean 0 and covariance I."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_PER_COORDINATE = 16  # Samples for every coordinate that a covariance matrix takes.


@dataclass(frozen=True)
class Frame:
    """Coordinates y with x = m + L y, in which samples x of mean m and covariance LLᵀ have mean 0
    and covariance I. Features of maps are laid out in them."""

    mean: Tensor
    """m, (d,) in float64, in units of x."""
    factor: Tensor
    """L, in units of x: (d,) for a diagonal matrix, else lower triangular, (d, d)."""

    @classmethod
    def unit(cls, dimension: int) -> Self:
        """y = x."""
        one = torch.ones(dimension, dtype=torch.float64)
        return cls(torch.zeros_like(one), one)

    @classmethod
    def of_moments(cls, mean: Tensor, covariance: Tensor) -> Self:
        """m and LLᵀ given: (d,), and a number for c·I, (d,) for a diagonal, or (d, d).

        A covariance that is not positive definite in double precision counts as its diagonal, and a
        coordinate that does not vary as one of deviation 1."""
        mean, covariance = mean.double().cpu(), covariance.double().cpu()
        if covariance.ndim == 2 and torch.count_nonzero(covariance.triu(1)):
            factor, failed = torch.linalg.cholesky_ex(covariance)
            if not bool(failed):
                return cls(mean, factor)
        variances = covariance.diagonal() if covariance.ndim == 2 else covariance
        deviations = variances.expand_as(mean).clamp(min=0).sqrt()
        return cls(mean, torch.where(deviations > 0, deviations, 1.0))

    @classmethod
    def of_samples(cls, x: Tensor) -> Self:
        """The moments of samples x, (n, d): correlations count where n ≥ 16 d, as fewer samples do
        not tell them."""
        x = x.double().cpu()
        mean = x.mean(0)
        centred = x - mean
        if len(x) < _PER_COORDINATE * x.shape[1]:
            return cls.of_moments(mean, centred.square().mean(0))
        return cls.of_moments(mean, centred.T @ centred / len(x))

    @property
    def deviations(self) -> Tensor:
        """Standard deviations of the coordinates of x, (d,)."""
        return self.factor if self.factor.ndim == 1 else self.factor.norm(dim=1)

    def pulled_back(self, v: Tensor) -> Tensor:
        """w with w·(x − m) = v·y for every row v of a matrix, (k, d) → (k, d)."""
        if self.factor.ndim == 1:
            return v / self.factor
        return torch.linalg.solve_triangular(self.factor, v, upper=False, left=False)

    def widths(self, w: Tensor) -> Tensor:
        """|Lᵀw|, the standard deviation of w·x, for every row w of a matrix, (k, d) → (k,)."""
        scaled = w * self.factor if self.factor.ndim == 1 else w @ self.factor
        return scaled.norm(dim=1)
