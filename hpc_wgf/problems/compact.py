"""Start densities of compact support: Barenblatt profiles, paraboloids, boxes.

At the edge of a support the density vanishes like a power of a factor u → 0 and the score grows
like 1/u; what enters a force, ρ^{m−1}∇ log ρ, has a limit. Samples lie on the edge, or by rounding
a little outside: there u is held at the precision of the numbers, so that powers of the density
times the score keep that limit. Farther outside the density is 0.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .matrices import VectorLike, vector


class Paraboloid:
    """λ(z) = c (1 − |z−z₀|²/R²)₊^q,  c = Γ(d/2+q+1) / (π^{d/2} Γ(q+1) R^d).

    q = 1 in one dimension is ¾(1 − z²)₊ for R = 1. |z−z₀|²/R² ~ Beta(d/2, q+1), so that samples
    are exact.
    """

    def __init__(
        self, dimension: int, centre: VectorLike = 0.0, radius: float = 1.0, exponent: float = 1.0
    ) -> None:
        if not (radius > 0 and math.isfinite(radius)):
            raise InputError(f"the radius of a paraboloid must be positive, got {radius}")
        if not (exponent > 0 and math.isfinite(exponent)):
            raise InputError(f"the exponent of a paraboloid must be positive, got {exponent}")
        self.dimension = dimension
        self.centre = vector(centre, dimension, "the centre of the start density")
        self.radius, self.exponent = float(radius), float(exponent)
        half = dimension / 2
        self._log_norm = (
            math.lgamma(half + exponent + 1) - math.lgamma(exponent + 1)
            - half * math.log(math.pi) - dimension * math.log(radius)
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"Paraboloid(centre={self.centre.tolist()}, radius={self.radius}, "
            f"exponent={self.exponent})"
        )

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        direction = random.standard_normal((count, self.dimension))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        square = random.beta(self.dimension / 2, self.exponent + 1, (count, 1))
        return self.centre + torch.from_numpy(self.radius * np.sqrt(square) * direction)

    def _factor(self, z: Tensor) -> Tensor:
        """u = 1 − |z−z₀|²/R², (n,), 0 outside."""
        scaled = (z - self.centre.to(z)) / self.radius
        return _held(1 - (scaled * scaled).sum(1), self.dimension)

    def log_density(self, z: Tensor) -> Tensor:
        return self._log_norm + self.exponent * self._factor(z).log()

    def score(self, z: Tensor) -> Tensor:
        u = self._factor(z)[:, None]
        slope = -2 * self.exponent * (z - self.centre.to(z)) / (self.radius**2 * u)
        return torch.where(u > 0, slope, 0.0)

    def jump(self) -> str | None:
        return None


class Barenblatt(Paraboloid):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time t > 0 [PWGF (5.7), C corrected],

        ρ(x, t) = t^{−α} (C − k |x|² t^{−2α/d})₊^{1/(m−1)},
        α = d/(d(m−1) + 2),  k = (m−1)α/(2md),
        C = [(k/π)^{d/2} Γ(d/2) / B(d/2, m/(m−1))]^{1/γ},  γ = d/2 + 1/(m−1).

    The printed C has a factor d in its denominator that gives mass 1/d. Along the flow samples
    scale like t^{α/d}.
    """

    def __init__(
        self, dimension: int, m: float, time: float = 1.0, centre: VectorLike = 0.0
    ) -> None:
        if not (m > 1 and math.isfinite(m)):
            raise InputError(f"a Barenblatt profile needs m above 1, got m = {m}")
        if not (time > 0 and math.isfinite(time)):
            raise InputError(f"a Barenblatt profile needs a positive time, got {time}")
        self.m, self.time = float(m), float(time)
        d, q = dimension, 1 / (m - 1)
        self.alpha = d / (d * (m - 1) + 2)
        k = (m - 1) * self.alpha / (2 * m * d)
        log_beta = math.lgamma(d / 2) + math.lgamma(q + 1) - math.lgamma(d / 2 + q + 1)
        log_c = d / 2 * math.log(k / math.pi) + math.lgamma(d / 2) - log_beta
        radius = math.exp(0.5 * (log_c / (d / 2 + q) - math.log(k))) * time ** (self.alpha / d)
        super().__init__(dimension, centre, radius, q)

    def __repr__(self) -> str:
        return f"Barenblatt(m={self.m}, time={self.time}, centre={self.centre.tolist()})"


class Box:
    """Uniform on [low, high]ᵈ; with a ramp w > 0 convolved with a uniform density of that width.

    Each coordinate is then a trapezoid, flat up to w/2 inside the faces and 0 from w/2 outside
    them: the sum of two uniform variables.
    """

    def __init__(
        self, dimension: int, low: VectorLike = -1.0, high: VectorLike = 1.0, ramp: float = 0.0
    ) -> None:
        self.dimension = dimension
        self.low = vector(low, dimension, "the lower corner of the box")
        self.high = vector(high, dimension, "the upper corner of the box")
        sides = self.high - self.low
        if not bool((sides > 0).all()):
            raise InputError(
                f"a box needs low < high, got {self.low.tolist()} and {self.high.tolist()}"
            )
        if not 0 <= ramp <= float(sides.min()):
            raise InputError(
                f"the ramp of a box must lie between 0 and its shortest side, "
                f"{float(sides.min()):g}, got {ramp}"
            )
        self.ramp = float(ramp)
        self._log_norm = -float(sides.log().sum())

    def __repr__(self) -> str:
        return f"Box(low={self.low.tolist()}, high={self.high.tolist()}, ramp={self.ramp})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        uniform = torch.from_numpy(random.random((count, self.dimension)))
        z = self.low + (self.high - self.low) * uniform
        if self.ramp == 0:
            return z
        return z + self.ramp * (torch.from_numpy(random.random((count, self.dimension))) - 0.5)

    def _height(self, z: Tensor) -> Tensor:
        """Height of each coordinate's trapezoid over that of its flat part, (n, d)."""
        depth = torch.minimum(z - self.low.to(z), self.high.to(z) - z)
        if self.ramp == 0:
            slack = 8 * torch.finfo(z.dtype).eps * (1 + z.abs())
            return (depth >= -slack).to(z)
        largest = float(torch.maximum(self.low.abs(), self.high.abs()).max())
        return _held(depth / self.ramp + 0.5, 1 + largest / self.ramp).clamp(max=1)

    def log_density(self, z: Tensor) -> Tensor:
        return self._log_norm + self._height(z).log().sum(1)

    def score(self, z: Tensor) -> Tensor:
        if self.ramp == 0:
            return torch.zeros_like(z)
        height = self._height(z)
        on_ramp = (height > 0) & (height < 1)
        inwards = torch.where(z < (0.5 * (self.low + self.high)).to(z), 1.0, -1.0)
        return torch.where(on_ramp, inwards / (self.ramp * height), 0.0)

    def jump(self) -> str | None:
        if self.ramp > 0:
            return None
        return f"the uniform box {self.low.tolist()} to {self.high.tolist()} jumps at its faces"


def _held(u: Tensor, size: float) -> Tensor:
    """u no smaller than its rounding error, of numbers of the given size; 0 below minus that."""
    least = 4 * size * torch.finfo(u.dtype).eps
    return torch.where(u < -16 * least, 0.0, u.clamp(min=least))
