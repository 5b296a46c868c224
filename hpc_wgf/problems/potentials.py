"""Potentials V: ℝᵈ → ℝ."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..kinds import check_kind
from ..user_code import called, check_values
from .matrices import MatrixLike, VectorLike, spd_matrix, vector


class Potential(ABC):
    """A potential V: ℝᵈ → ℝ. The sum of two potentials is a potential.

    A subclass defines V; its gradient is found by automatic differentiation.
    """

    dimension: int | None = None
    """The dimension d for which V is defined, or None if it is defined for all."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """V(x), (n, d) → (n,), differentiable in x."""

    def gradient(self, x: Tensor) -> Tensor:
        """∇V(x), (n, d) → (n, d)."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(point).sum(), point)
        return gradient

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        """The function v_j: (n,) → (n,) of one coordinate if V(x) = Σ_j v_j(x_j), else None."""
        return None

    def log_partition(self, beta: float) -> float | None:
        """log ∫ e^{−V/β} dx for β > 0 if it is known in closed form, else None."""
        return None

    def __add__(self, other: Potential) -> Potential:
        return SumOfPotentials([(1.0, self), (1.0, other)])


class Quadratic(Potential):
    """V(x) = ½ (x−μ)ᵀ Σ⁻¹ (x−μ)."""

    def __init__(self, dimension: int, mean: VectorLike = 0.0, covariance: MatrixLike = 1.0):
        """`mean` μ: a number for all coordinates, or (d,). `covariance` Σ: a number c for c·I, (d,)
        for a diagonal, or (d, d).

        Errors: `InputError` for wrong shapes, or if Σ is not symmetric positive definite."""
        self.dimension = dimension
        self.mean = vector(mean, dimension, "the mean of the quadratic potential")
        self.covariance = spd_matrix(
            covariance, dimension, "the covariance of the quadratic potential"
        )
        self.precision = torch.linalg.inv(self.covariance)

    def __repr__(self) -> str:
        return f"Quadratic(mean={self.mean.tolist()}, covariance={self.covariance.tolist()})"

    def __call__(self, x: Tensor) -> Tensor:
        centred = x - self.mean.to(x)
        return 0.5 * ((centred @ self.precision.to(x)) * centred).sum(1)

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        if torch.count_nonzero(self.precision - torch.diag(torch.diagonal(self.precision))):
            return None
        centre, curvature = self.mean[j], self.precision[j, j]
        return lambda x: 0.5 * curvature * (x - centre) ** 2

    def log_partition(self, beta: float) -> float | None:
        d = self.mean.numel()
        return 0.5 * (d * math.log(2 * math.pi * beta) + float(torch.logdet(self.covariance)))


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

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        return self._term


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
        weights: Sequence[float] | None = None,
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
        given = [1.0] * count if weights is None else list(weights)
        if len(given) != count or not all(w > 0 for w in given):
            raise InputError(f"{count} components need as many positive weights, got {given}")
        self.weights = torch.tensor(given, dtype=torch.float64)

    def __repr__(self) -> str:
        return (
            f"GaussianMixture(means={self.means.tolist()}, variance={self.variance}, "
            f"weights={self.weights.tolist()})"
        )

    def _logits(self, x: Tensor) -> Tensor:
        """log a_k − ½ |x − μ_k|²/σ², (n, components)."""
        means = self.means.to(x)
        squares = (x * x).sum(1, keepdim=True) - 2 * x @ means.T + (means * means).sum(1)
        return self.weights.log().to(x) - squares / (2 * self.variance)

    def __call__(self, x: Tensor) -> Tensor:
        return -torch.logsumexp(self._logits(x), 1)

    def gradient(self, x: Tensor) -> Tensor:
        shares = torch.softmax(self._logits(x), 1)
        return (x - shares @ self.means.to(x)) / self.variance

    def nearest_mode(self, x: Tensor) -> Tensor:
        """The number k of the component with the greatest a_k exp(−½ |x − μ_k|²/σ²), that is, the
        one most likely to have produced x: (n, d) → (n,)."""
        return self._logits(x).argmax(1)

    def log_partition(self, beta: float) -> float | None:
        if beta != 1.0:
            return None
        d = self.means.shape[1]
        return math.log(float(self.weights.sum())) + 0.5 * d * math.log(2 * math.pi * self.variance)


class SumOfPotentials(Potential):
    """V = Σᵢ cᵢ Vᵢ."""

    def __init__(self, terms: Sequence[tuple[float, Potential]]):
        """`terms`: the pairs (cᵢ, Vᵢ). A term that is a sum itself is replaced by its terms.

        Errors: `InputError` if the potentials differ in dimension."""
        for _, term in terms:
            check_kind(
                term, "potential", ("gradient", "dimension"),
                "wrap a function (n, d) → (n,) of yours as UserPotential(function, name)",
            )  # fmt: skip
        self.terms: list[tuple[float, Potential]] = [
            (factor * inner, part)
            for factor, term in terms
            for inner, part in (term.terms if isinstance(term, SumOfPotentials) else [(1.0, term)])
        ]
        known = {term.dimension for _, term in self.terms} - {None}
        if len(known) > 1:
            raise InputError(
                f"the potentials of a sum differ in dimension: {sorted(map(str, known))}"
            )
        self.dimension = known.pop() if known else None

    def __repr__(self) -> str:
        return f"SumOfPotentials({self.terms})"

    def __call__(self, x: Tensor) -> Tensor:
        total = self.terms[0][0] * self.terms[0][1](x)
        for factor, term in self.terms[1:]:
            total = total + factor * term(x)
        return total

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        parts = [(factor, term.coordinate(j)) for factor, term in self.terms]
        if any(part is None for _, part in parts):
            return None
        return lambda x: sum((c * v(x) for c, v in parts if v is not None), torch.zeros_like(x))

    def log_partition(self, beta: float) -> float | None:
        quadratic = self.as_quadratic()
        if quadratic is not None:
            known = quadratic[0].log_partition(beta)
            return None if known is None else known - quadratic[1] / beta
        if len(self.terms) != 1 or self.terms[0][0] != 1.0:
            return None
        return self.terms[0][1].log_partition(beta)

    def as_quadratic(self) -> tuple[Quadratic, float] | None:
        """(W, k) with V = W + k, W a quadratic potential and k a constant; None unless all terms
        are quadratic and their sum is positive definite.

        W has precision P = Σᵢ cᵢ Pᵢ and mean μ with Pμ = Σᵢ cᵢ Pᵢ μᵢ, for terms with precision Pᵢ
        and mean μᵢ."""
        parts = [(c, term) for c, term in self.terms if isinstance(term, Quadratic)]
        if len(parts) < len(self.terms):
            return None
        precision = torch.stack([c * term.precision for c, term in parts]).sum(0)
        if bool(torch.linalg.cholesky_ex(precision)[1]):
            return None
        pulls = [c * term.precision @ term.mean for c, term in parts]
        mean = torch.linalg.solve(precision, torch.stack(pulls).sum(0))
        heights = [c * term.mean @ term.precision @ term.mean for c, term in parts]
        constant = 0.5 * float(torch.stack(heights).sum() - mean @ precision @ mean)
        covariance = torch.linalg.inv(precision)
        covariance = 0.5 * (covariance + covariance.T)
        return Quadratic(len(mean), mean.tolist(), covariance.tolist()), constant


class UserPotential(Potential):
    """V given by a torch function."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None):
        """`function`: V, (n, d) → (n,), differentiable by torch. `name`: what the descriptions of
        a run call it, by default the name of the function.

        Errors: `InputError` for what cannot be called, and for a class, which would be."""
        if isinstance(function, type) or not callable(function):
            raise InputError(
                f"{function!r} was given as a potential: expected a torch function of yours, or an "
                "object that can be called, which takes x, (n, d), and returns V(x), (n,)"
            )
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))

    def __repr__(self) -> str:
        return f"UserPotential({self.name})"

    def __call__(self, x: Tensor) -> Tensor:
        what = f"the potential {self.name}"
        # The function gets samples of its own: what it does to them is not done to the run's.
        value = called(what, self.function, x.clone())
        check_values(what, value, x, x.shape[:1], "one value per sample")
        if x.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise InputError(
                f"{what} returned values that torch cannot differentiate with respect to x, so "
                "that its force would be 0: compute them from x by torch functions, without "
                "detach, item or numpy"
            )
        return value
