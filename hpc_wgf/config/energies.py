"""Energies, and the kernels of interactions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..interactions import Route
from .table import Matrix, Table, Vector


class QuadraticTable(Table):
    """V(x) = ½ (x−mean)ᵀ covariance⁻¹ (x−mean)."""

    kind: Literal["quadratic"]
    factor: float = Field(default=1.0, gt=0)
    """Multiplies the potential."""
    mean: Vector = 0.0
    """A number for all coordinates, or one per coordinate."""
    covariance: Matrix = 1.0
    """A number c for c·I, a list for a diagonal, or a full matrix."""


class RandomQuadraticTable(Table):
    """V(x) = ½ (x−b)ᵀ A (x−b), A random symmetric positive definite, b ~ N(0, I)."""

    kind: Literal["random-quadratic"]
    factor: float = 1.0
    seed: int = 0
    """Of A and b."""
    smallest: float = Field(default=0.5, gt=0)
    """Least eigenvalue that A may have."""
    largest: float = Field(default=2.0, gt=0)
    """Greatest eigenvalue that A may have."""


class StyblinskiTangTable(Table):
    """V(x) = factor · Σ (x_j⁴ − 16 x_j² + 5 x_j)."""

    kind: Literal["styblinski-tang"]
    factor: float = 3 / 50


class RosenbrockTable(Table):
    """V(x) = factor · Σ 10 (x_{k+1} − x_k²)² + (x_k − 1)²."""

    kind: Literal["rosenbrock"]
    factor: float = 3 / 50


class GaussianMixtureTable(Table):
    """V(x) = −log Σ weight_k exp(−|x − mean_k|²/(2 variance)): an unnormalised target."""

    kind: Literal["gaussian-mixture"]
    factor: float = 1.0
    means: list[list[float]]
    variance: float = 1.0
    weights: list[float] | None = None


class UserPotentialTable(Table):
    """A torch function (n, d) → (n,) of your own."""

    kind: Literal["user"]
    factor: float = 1.0
    function: str
    """Import path "module:name"."""


class EntropyTable(Table):
    """β ∫ ρ log ρ: diffusion."""

    kind: Literal["entropy"]
    beta: float = 1.0
    """Diffusion coefficient, not negative."""


class InternalTable(Table):
    """factor/(m−1) ∫ ρᵐ: the porous medium equation, ∂ₜρ = factor · Δρᵐ."""

    kind: Literal["internal"]
    m: float
    """Exponent, above 1."""
    factor: float = 1.0


class PowerLawTable(Table):
    """J(x) = |x|^a/a − |x|^b/b; an exponent 0 stands for log|x|."""

    kind: Literal["power-law"]
    a: float = 4.0
    b: float = 2.0


class GaussianKernelTable(Table):
    """J(x) = −amplitude · exp(−|x|²/(2 width²)): attractive for a positive amplitude."""

    kind: Literal["gaussian-kernel"]
    amplitude: float = 1.0
    width: float = Field(default=1.0, gt=0)


class UserKernelTable(Table):
    """J(x) = j(|x|²), j a torch function of your own, elementwise."""

    kind: Literal["user-kernel"]
    function: str
    """Import path "module:name"."""


KernelTable = Annotated[
    PowerLawTable | GaussianKernelTable | UserKernelTable, Field(discriminator="kind")
]


class InteractionTable(Table):
    """factor/2 ∬ J(x−y) ρ(x) ρ(y): every particle moves with −factor · mean of ∇J(x−y) over y."""

    kind: Literal["interaction"]
    kernel: KernelTable
    factor: float = 1.0
    route: Route = Field(default=Route.AUTOMATIC, strict=False)
    """How the sum over pairs is taken: "moments" (exact, even powers only), "pairs" (all, round
    the ring of ranks), "batches" (unbiased estimate), or "automatic"."""
    self_pairs: bool | None = None
    """Whether a particle acts on itself; left out, not where the kernel is singular."""
    batch: int = Field(default=64, ge=2)
    """Members of a random batch."""


EnergyTable = Annotated[
    QuadraticTable
    | RandomQuadraticTable
    | StyblinskiTangTable
    | RosenbrockTable
    | GaussianMixtureTable
    | UserPotentialTable
    | EntropyTable
    | InternalTable
    | InteractionTable,
    Field(discriminator="kind"),
]
