"""Where samples lie, and how wide: coordinates in which they have mean 0 and covariance I."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

_PER_COORDINATE = 16  # Samples for every coordinate that a covariance matrix takes.
_TAIL = 0.0015  # Share of the samples on each side of their range,
_BEYOND = 8  # but at least so many.
_POINTS = 4096  # of a Gaussian, in place of samples
_DEVIATIONS = 4.0  # Half the range of a law of which the moments are known.


@dataclass(frozen=True)
class Frame:
    """Coordinates y with x = m + L y, in which samples x of mean m and covariance LLᵀ have mean 0
    and covariance I. Features of maps are laid out in them."""

    mean: Tensor
    """m, (d,) in float64, in units of x."""
    factor: Tensor
    """L, in units of x: (d,) for a diagonal matrix, else lower triangular, (d, d)."""
    low: Tensor
    """Lower ends of the range, (d,), in units of x: beyond them lie .15 % of the samples, or of a
    law of which the moments are known what lies beyond four deviations."""
    high: Tensor
    """Upper ends, (d,)."""
    samples: Callable[[], Tensor] | None = None
    """The samples x themselves, (n, d) in float64 on the CPU, the same on every rank; None where
    there are none but moments."""

    @classmethod
    def unit(cls, dimension: int) -> Self:
        """y = x."""
        return cls.of_moments(torch.zeros(dimension), torch.tensor(1.0))

    @classmethod
    def of_moments(cls, mean: Tensor, covariance: Tensor) -> Self:
        """m and LLᵀ given: (d,), and a number for c·I, (d,) for a diagonal, or (d, d).

        A covariance that is not positive definite in double precision counts as its diagonal, and a
        coordinate that does not vary as one of deviation 1."""
        mean, covariance = mean.double().cpu(), covariance.double().cpu()
        variances = covariance.diagonal() if covariance.ndim == 2 else covariance
        deviations = variances.expand_as(mean).clamp(min=0).sqrt()
        factor = deviations = torch.where(deviations > 0, deviations, 1.0)
        if covariance.ndim == 2 and torch.count_nonzero(covariance.triu(1)):
            whole, failed = torch.linalg.cholesky_ex(covariance)
            factor = deviations if bool(failed) else whole
        reach = _DEVIATIONS * deviations
        return cls(mean, factor, mean - reach, mean + reach)

    @classmethod
    def of_samples(cls, x: Tensor) -> Self:
        """Moments and range of samples x, (n, d): correlations count where n ≥ 16 d, as fewer
        samples do not tell them. Beyond each end of the range lie .15 % of the samples, and at
        least 8."""
        x = x.double().cpu()
        mean = x.mean(0)
        centred = x - mean
        few = len(x) < _PER_COORDINATE * x.shape[1]
        covariance = centred.square().mean(0) if few else centred.T @ centred / len(x)
        frame = cls.of_moments(mean, covariance)
        beyond = min(max(_BEYOND, int(_TAIL * len(x))), (len(x) - 1) // 2)
        ordered = x.sort(0).values
        low, high = ordered[beyond], ordered[-1 - beyond]
        stands = high <= low  # A coordinate that does not vary keeps the range of its deviation.
        return replace(
            frame,
            low=torch.where(stands, frame.low, low),
            high=torch.where(stands, frame.high, high),
            samples=lambda: x,
        )

    def spanning(self, other: Frame) -> Self:
        """These coordinates with the range and the samples of another frame."""
        return replace(self, low=other.low, high=other.high, samples=other.samples)

    def of_coordinates(self, chosen: slice) -> Self:
        """The frame of some coordinates of x alone, without samples."""
        factor, mean = self.factor, self.mean[chosen]
        covariance = factor.square() if factor.ndim == 1 else factor @ factor.T
        own = covariance[chosen] if factor.ndim == 1 else covariance[chosen, chosen]
        return replace(self.of_moments(mean, own), low=self.low[chosen], high=self.high[chosen])

    def points(self) -> Tensor:
        """The samples, or where there are none those of a Gaussian with the moments, (n, d) in
        float64, the same always."""
        if self.samples is not None:
            return self.samples()
        y = torch.from_numpy(np.random.default_rng(0).standard_normal((_POINTS, len(self.mean))))
        return self.mean + (y * self.factor if self.factor.ndim == 1 else y @ self.factor.T)

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
