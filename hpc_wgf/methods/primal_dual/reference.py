"""The density Γ with whose samples that of the flow is compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...problems.sample_rows import SampleRows


class Reference(Protocol):
    """A density of which there are samples, and coordinates in which it is of order one."""

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        """Samples, (count, d) in float64 on the CPU."""
        ...

    def coordinates(self, x: Tensor) -> Tensor:
        """What the network for h is shown of x, (n, d) → (n, d); differentiable."""
        ...


@dataclass(frozen=True)
class GaussianReference:
    """μ = N(m, C)."""

    mean: Tensor
    """m, (d,) in float64."""
    factor: Tensor
    """L with C = LLᵀ, lower triangular, (d, d) in float64."""

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        normal = torch.from_numpy(random.standard_normal((count, len(self.mean))))
        return torch.addmm(self.mean.cpu(), normal, self.factor.cpu().T)

    def coordinates(self, x: Tensor) -> Tensor:
        arm = (x - self.mean.to(x)).T
        return torch.linalg.solve_triangular(self.factor.to(x), arm, upper=False).T

    def log_density(self, x: Tensor) -> Tensor:
        """log μ(x), (n, d) → (n,); differentiable."""
        constant = 0.5 * len(self.mean) * math.log(2 * math.pi)
        constant += float(self.factor.diagonal().log().sum())
        return -0.5 * self.coordinates(x).square().sum(1) - constant


@dataclass(frozen=True)
class BoxReference:
    """The uniform density on Π [c_j − r_j, c_j + r_j]."""

    centre: Tensor
    """c, (d,) in float64."""
    radius: Tensor
    """r, (d,) in float64."""

    @property
    def log_volume(self) -> float:
        """log Ω."""
        return float((2 * self.radius).log().sum())

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        uniform = torch.from_numpy(random.random((count, len(self.centre))))
        return self.centre.cpu() + self.radius.cpu() * (2 * uniform - 1)

    def coordinates(self, x: Tensor) -> Tensor:
        return (x - self.centre.to(x)) / self.radius.to(x)

    def has_left(self, x: Tensor) -> Tensor:
        """Which of the samples x, (n, d), are outside: (n,) bool."""
        return (self.coordinates(x).abs() > 1).any(1)


@dataclass(frozen=True)
class RowsReference:
    """A density Q that is known by rows of samples."""

    rows: SampleRows
    """The samples."""
    moments: GaussianReference
    """The Gaussian of their mean and covariance."""

    @classmethod
    def of(cls, rows: SampleRows, most: int = 32768) -> RowsReference:
        """`most`: rows of which the moments are taken."""
        x = rows.at(np.arange(0, rows.count, -(-rows.count // most)))
        factor = torch.linalg.cholesky(torch.atleast_2d(torch.cov(x.T)))
        return cls(rows, GaussianReference(x.mean(0), factor))

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return self.rows.at(random.integers(0, self.rows.count, count))

    def coordinates(self, x: Tensor) -> Tensor:
        return self.moments.coordinates(x)
