"""The potentials that run files know by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from ..constants import beside, like
from ..errors import InputError
from .descriptions import written
from .matrices import (
    MatrixLike,
    VectorLike,
    diagonal_of,
    inverse,
    log_det,
    spd_matrix,
    times,
    vector,
)
from .potentials import Potential
from .products import Factor, factors


class Quadratic(Potential):
    """V(x) = ½ (x−μ)ᵀ Σ⁻¹ (x−μ)."""

    def __init__(self, dimension: int, mean: VectorLike = 0.0, covariance: MatrixLike = 1.0):
        """`mean` μ: a number for all coordinates, or (d,). `covariance` Σ: a number c for c·I, (d,)
        for a diagonal, or (d, d); it is kept in that form.

        Errors: `InputError` for wrong shapes, or if Σ is not symmetric positive definite."""
        self.dimension = dimension
        self.mean = vector(mean, dimension, "the mean of the quadratic potential")
        self.covariance = spd_matrix(
            covariance, dimension, "the covariance of the quadratic potential"
        )
        self.precision = inverse(self.covariance)

    def __repr__(self) -> str:
        return f"Quadratic(mean={written(self.mean)}, covariance={written(self.covariance)})"

    def __call__(self, x: Tensor) -> Tensor:
        centred = x - like(self.mean, x)
        return 0.5 * (times(centred, self.precision) * centred).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """½ (Σ⁻¹ + Σ⁻ᵀ)(x−μ), the bits of automatic differentiation."""
        centred = x - like(self.mean, x)
        if self.precision.ndim < 2:
            return times(centred, self.precision)
        return 0.5 * times(centred, self.precision) + times(0.5 * centred, self.precision.T)

    def hessian(self) -> Tensor:
        return self.precision

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        diagonal = diagonal_of(self.precision, len(self.mean))
        if diagonal is None:
            return None
        centre, curvature = self.mean[j], diagonal[j]
        return lambda x: 0.5 * curvature * (x - centre) ** 2

    def log_partition(self, beta: float) -> float | None:
        d = self.mean.numel()
        return 0.5 * (d * math.log(2 * math.pi * beta) + log_det(self.covariance, d))


class StyblinskiTang(Potential):
    """V(x) = c Σ_j (x_j⁴ − 16 x_j² + 5 x_j) in any dimension [PWGF (5.1)]."""

    def __init__(self, factor: float = 3 / 50):
        """`factor`: c, by default that of the paper."""
        self.factor = factor

    def __repr__(self) -> str:
        return f"StyblinskiTang(factor={self.factor})"

    def _term(self, x: Tensor) -> Tensor:
        return self.factor * x * (x * (x * x - 16) + 5)

    def __call__(self, x: Tensor) -> Tensor:
        return self._term(x).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """c (4 x³ − 32 x + 5), added up as by automatic differentiation, to the same bits."""
        outer, inner = self.factor * x, x * x - 16
        square = outer * x * x
        return outer * inner + square + square + (x * inner + 5) * self.factor

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        return self._term

    def convexity(self) -> float | None:
        """−32 c, that at 0, for c ≥ 0."""
        return -32.0 * self.factor if self.factor >= 0 else None


class DoubleWell(Potential):
    """V(x) = h (x₁² − 1)² + c x₁ + ½ k Σ_{j>1} x_j²: two wells near x₁ = ∓1 under a barrier of
    height h, tilted, and a parabola in every other coordinate."""

    def __init__(self, height: float = 4.0, tilt: float = 0.5, stiffness: float = 1.0):
        """`height`: h. `tilt`: c; for c > 0 the left well is the deeper one. `stiffness`: k."""
        self.height, self.tilt, self.stiffness = height, tilt, stiffness

    def __repr__(self) -> str:
        return f"DoubleWell(height={self.height}, tilt={self.tilt}, stiffness={self.stiffness})"

    def _wells(self, x: Tensor) -> Tensor:
        return self.height * (x * x - 1) ** 2 + self.tilt * x

    def _parabola(self, x: Tensor) -> Tensor:
        return 0.5 * self.stiffness * x * x

    def __call__(self, x: Tensor) -> Tensor:
        return self._wells(x[:, 0]) + self._parabola(x[:, 1:]).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        first, others = x[:, :1], x[:, 1:]
        slope = 4 * self.height * first * (first * first - 1) + self.tilt
        return torch.cat([slope, self.stiffness * others], 1)

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        return self._parabola if j else self._wells

    def convexity(self) -> float | None:
        """The lesser of −4h, that of the wells at x₁ = 0, and k, for h ≥ 0."""
        return min(-4.0 * self.height, self.stiffness) if self.height >= 0 else None


class Rosenbrock(Potential):
    """V(x) = c Σ_k [10 (x_{k+1} − x_k²)² + (x_k − 1)²], 1 ≤ k < d, for d ≥ 2 [PFPE 6.2.2]."""

    def __init__(self, factor: float = 3 / 50):
        """`factor`: c, by default that of the paper."""
        self.factor = factor

    def __repr__(self) -> str:
        return f"Rosenbrock(factor={self.factor})"

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[1] < 2:
            raise InputError("the Rosenbrock potential couples neighbours: dimension at least 2")
        valley = x[:, 1:] - x[:, :-1] ** 2
        return self.factor * (10 * valley**2 + (x[:, :-1] - 1) ** 2).sum(1)


class GaussianMixture(Potential):
    """V(x) = −log Σ_k a_k exp(−½ |x − μ_k|²/σ²), so that e^{−V} is an unnormalised Gaussian
    mixture.

    For β = 1 the Fokker–Planck equation converges to the mixture of the Gaussians N(μ_k, σ²I) with
    weights proportional to a_k.
    """

    def __init__(
        self, means: Sequence[Sequence[float]] | Tensor, variance: float,
        weights: Sequence[float] | Tensor | None = None,
    ):  # fmt: skip
        """`means`: the μ_k, (components, d). `variance`: σ² > 0, in each coordinate. `weights`: the
        a_k > 0, equal by default.

        Errors: `InputError` for wrong shapes, or numbers that are not positive."""
        self.means = torch.as_tensor(means, dtype=torch.float64)
        if self.means.ndim != 2 or self.means.numel() == 0:
            raise InputError(
                f"the means of a Gaussian mixture form a table (components, dimension), "
                f"got shape {tuple(self.means.shape)}"
            )
        if not variance > 0:
            raise InputError(f"the variance of a Gaussian mixture must be positive, got {variance}")
        self.variance = float(variance)
        self.dimension = self.means.shape[1]
        count = self.means.shape[0]
        given = [1.0] * count if weights is None else [float(weight) for weight in weights]
        if len(given) != count or not all(w > 0 for w in given):
            raise InputError(f"{count} components need as many positive weights, got {given}")
        self.weights = torch.tensor(given, dtype=torch.float64)
        self._log_weights = self.weights.log()

    def __repr__(self) -> str:
        return (
            f"GaussianMixture(means={self.means.tolist()}, variance={self.variance}, "
            f"weights={self.weights.tolist()})"
        )

    def _centred(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x, (n, d), and the μ_k, (components, d), about the mean of the μ_k, in float64: squares
        of distances are differences of products, which lose the digits of all that they have in
        common."""
        means = beside(self.means, x)
        centre = means.mean(0)
        return x.double() - centre, means - centre

    def _logits(self, x: Tensor) -> Tensor:
        """log a_k − ½ |x − μ_k|²/σ², (n, components) in float64."""
        x, means = self._centred(x)
        squares = (x * x).sum(1, keepdim=True) - 2 * x @ means.T + (means * means).sum(1)
        return like(self._log_weights, x) - squares / (2 * self.variance)

    def __call__(self, x: Tensor) -> Tensor:
        return -torch.logsumexp(self._logits(x), 1).to(x.dtype)

    def gradient(self, x: Tensor) -> Tensor:
        shares, (centred, means) = torch.softmax(self._logits(x), 1), self._centred(x)
        return ((centred - shares @ means) / self.variance).to(x.dtype)

    @cached_property
    def _factors(self) -> list[Factor] | None:
        shares = self.weights / self.weights.sum()
        return factors([self.means], shares)

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        """Known where the mixture is a product of mixtures on the line, as at the corners of a
        rectangle."""
        if self._factors is None:
            return None
        members, weights = self._factors[j]
        if j == 0:
            weights = weights * self.weights.sum()
        return GaussianMixture(self.means[members, j : j + 1], self.variance, weights).line

    def line(self, x: Tensor) -> Tensor:
        """V on the line, for d = 1: (n,) → (n,)."""
        return self(x[:, None])

    def turned(self, basis: Tensor) -> GaussianMixture:
        """V in the coordinates y = Bᵀx of an orthonormal `basis`, the columns of B, (d, d)."""
        return GaussianMixture(self.means @ basis, self.variance, self.weights)

    def nearest_mode(self, x: Tensor) -> Tensor:
        """The number k of the component with the greatest a_k exp(−½ |x − μ_k|²/σ²), that is, the
        one most likely to have produced x: (n, d) → (n,)."""
        return self._logits(x).argmax(1)

    def convexity(self) -> float | None:
        """1/σ² − D²/(4σ⁴), D the largest distance of two means: ∇²V is I/σ² less the covariance of
        the means under their shares, over σ⁴, and a variance is at most D²/4 (Popoviciu). Of a
        product, D is that in one coordinate."""
        if self._factors is None:
            largest = float(torch.cdist(self.means, self.means).max())
        else:
            largest = float((self.means.amax(0) - self.means.amin(0)).max())
        return 1 / self.variance - largest**2 / (4 * self.variance**2)

    def log_partition(self, beta: float) -> float | None:
        if beta != 1.0:
            return None
        d = self.means.shape[1]
        return math.log(float(self.weights.sum())) + 0.5 * d * math.log(2 * math.pi * self.variance)
