"""Start densities of compact support: Barenblatt profiles, paraboloids, boxes.

At the edge of its support such a density vanishes like a power of a factor u → 0, and its score
grows like 1/u. Their product ρ^{m−1} ∇ log ρ, which is the force, has a limit. Samples may lie on
the edge or, by rounding, a little outside; there u is replaced by the size of its rounding error,
so that density and score are finite and the product is close to its limit. Farther outside the
density is 0.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..constants import beside
from ..errors import InputError
from .blockwise import BlockDraw, Evaluated, one_block
from .descriptions import written
from .matrices import VectorLike, centred, vector


class Paraboloid:
    """λ(z) = c (1 − |z−z₀|²/R²)₊^q,  c = Γ(d/2+q+1) / (π^{d/2} Γ(q+1) R^d).

    Samples are exact, as |z−z₀|²/R² ~ Beta(d/2, q+1). For d = q = R = 1 and z₀ = 0 this is the
    parabola ¾(1 − z²)₊.
    """

    def __init__(
        self, dimension: int, centre: VectorLike = 0.0, radius: float = 1.0, exponent: float = 1.0
    ) -> None:
        """`centre`: z₀, a number for all coordinates or (d,). `radius`: R > 0. `exponent`: q > 0.

        Errors: `InputError` for other values."""
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
            f"Paraboloid(centre={written(self.centre)}, radius={self.radius}, "
            f"exponent={self.exponent})"
        )

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        points, radii = out.numpy(), np.empty((*out.shape[:2], 1))
        a, b, count = self.dimension / 2, self.exponent + 1, radii.shape[1:]

        def take(random: np.random.Generator, block: int) -> None:
            random.standard_normal(out=points[block])
            radii[block] = random.beta(a, b, count)

        def finish() -> None:
            np.divide(points, np.linalg.norm(points, axis=2, keepdims=True), out=points)
            np.multiply(np.sqrt(radii, out=radii), self.radius, out=radii)
            out.mul_(torch.from_numpy(radii)).add_(self.centre)

        return BlockDraw(take, finish)

    def _factor(self, z: Tensor) -> Tensor:
        """u = 1 − |z−z₀|²/R², (n,), at least its rounding error near the edge and 0 outside."""
        scaled = centred(z, self.centre) / self.radius
        return _held(1 - (scaled * scaled).sum(1), self.dimension)

    def log_density(self, z: Tensor) -> Tensor:
        return self._log_norm + self.exponent * self._factor(z).log()

    def score(self, z: Tensor) -> Tensor:
        u = self._factor(z)[:, None]
        slope = -2 * self.exponent * centred(z, self.centre) / (self.radius**2 * u)
        return torch.where(u > 0, slope, 0.0)

    def evaluated(self, z: Tensor) -> Evaluated:
        arm = centred(z, self.centre)
        scaled = arm / self.radius
        u = _held(1 - scaled.mul_(scaled).sum(1), self.dimension)
        slope = arm.mul_(-2 * self.exponent).div_((self.radius**2 * u)[:, None])
        slope.masked_fill_(~(u > 0)[:, None], 0.0)
        return u.log_().mul_(self.exponent).add_(self._log_norm), slope

    def moments(self) -> tuple[Tensor, Tensor]:
        # |z − z₀|²/R² ~ Beta(d/2, q + 1) has the mean d/(d + 2q + 2).
        variance = self.radius**2 / (self.dimension + 2 * self.exponent + 2)
        return self.centre, torch.tensor(variance, dtype=torch.float64)

    def jump(self) -> str | None:
        return None


class Barenblatt(Paraboloid):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time t > 0 [PWGF (5.7), C corrected],

        ρ(x, t) = t^{−α} (C − k |x|² t^{−2α/d})₊^{1/(m−1)},
        α = d/(d(m−1) + 2),  k = (m−1)α/(2md),
        C = [(k/π)^{d/2} Γ(d/2) / B(d/2, m/(m−1))]^{1/γ},  γ = d/2 + 1/(m−1).

    The paper prints C with another factor d in its denominator, which would give mass 1/d. The
    flow moves samples by x ∝ t^{α/d}. `alpha` is α.
    """

    def __init__(
        self, dimension: int, m: float, time: float = 1.0, centre: VectorLike = 0.0
    ) -> None:
        """`m`: the exponent m > 1. `time`: t > 0. `centre`: the origin of x, a number for all
        coordinates or (d,).

        Errors: `InputError` for other values."""
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
        return f"Barenblatt(m={self.m}, time={self.time}, centre={written(self.centre)})"


class Box:
    """λ = Π_j λ_j(z_j), λ_j the density of U[low_j, high_j] + U[−w/2, w/2], the sum of two
    independent uniform variables.

    For w = 0 this is the uniform density of a box, which jumps at the faces. For w > 0 it is
    continuous: each λ_j is a trapezoid whose sides rise over a width w about the faces.
    """

    def __init__(
        self, dimension: int, low: VectorLike = -1.0, high: VectorLike = 1.0, ramp: float = 0.0
    ) -> None:
        """`low` < `high`: opposite corners, a number for all coordinates or (d,). `ramp`: w, at
        most the shortest side of the box.

        Errors: `InputError` for other values."""
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
        return f"Box(low={written(self.low)}, high={written(self.high)}, ramp={self.ramp})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        points, ramps = out.numpy(), np.empty(out.shape if self.ramp else 0)

        def take(random: np.random.Generator, block: int) -> None:
            random.random(out=points[block])
            if self.ramp:
                random.random(out=ramps[block])

        def finish() -> None:
            out.mul_(self.high - self.low).add_(self.low)
            if self.ramp:
                out.add_(torch.from_numpy(ramps).sub_(0.5).mul_(self.ramp))

        return BlockDraw(take, finish)

    def _height(self, z: Tensor) -> Tensor:
        """λ_j(z_j) divided by its maximum, (n, d)."""
        depth = torch.minimum(centred(z, self.low), -centred(z, self.high))
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
        return self._slope(z, self._height(z))

    def evaluated(self, z: Tensor) -> Evaluated:
        height = self._height(z)
        slope = self._slope(z, height) if self.ramp else torch.zeros_like(z)
        return height.log_().sum(1).add_(self._log_norm), slope

    def _slope(self, z: Tensor, height: Tensor) -> Tensor:
        """∇ log λ of a box with a ramp, from `_height`, (n, d)."""
        on_ramp = (height > 0) & (height < 1)
        middle = 0.5 * (beside(self.low, z) + beside(self.high, z))
        inwards = torch.where(z.double() < middle, 1.0, -1.0).to(z.dtype)
        return torch.where(on_ramp, inwards / (self.ramp * height), 0.0)

    def moments(self) -> tuple[Tensor, Tensor]:
        middle, sides = 0.5 * (self.low + self.high), self.high - self.low
        return middle, (sides.square() + self.ramp**2) / 12

    def jump(self) -> str | None:
        if self.ramp > 0:
            return None
        return f"the uniform box {written(self.low)} to {written(self.high)} jumps at its faces"


def _held(u: Tensor, size: float) -> Tensor:
    """u raised to its rounding error if it is less, for u computed from numbers of the given size;
    0 where u is negative beyond rounding."""
    least = 4 * size * torch.finfo(u.dtype).eps
    return torch.where(u < -16 * least, 0.0, u.clamp(min=least))
