"""Potentials V of a problem, which are added with a factor each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..errors import InputError
from ..fields import Matrix, Number, Unit, Vector, Whole
from .imports import ImportPath, load_object
from .starts import StartTable
from .table import Table

if TYPE_CHECKING:
    from ..problems import Potential


class PotentialTable(Table, ABC):
    """F = ∫ factor · V ρ dx with a potential V(x). Several potentials of a problem are added."""

    factor: Number = 1.0
    """Factor of the potential."""

    @abstractmethod
    def build(self, dimension: int) -> Potential:
        """The potential in dimension `dimension`, its factor included but for `outer_factor`.

        Errors: `InputError` naming what does not fit.
        """

    @property
    def outer_factor(self) -> float:
        """The factor by which the potential that `build` returns is still to be multiplied."""
        return 1.0


class QuadraticTable(PotentialTable):
    """V(x) = ½ (x−mean)ᵀ covariance⁻¹ (x−mean)."""

    kind: Literal["quadratic"]
    """Tag that selects this potential."""
    factor: Annotated[Number, Field(gt=0)] = 1.0
    """Factor of the potential."""
    mean: Vector = 0.0
    """Minimum of V: a number for all coordinates, or one per coordinate."""
    covariance: Matrix = 1.0
    """Inverse of the Hessian of V: a number c for c·I, a list for a diagonal, or a full matrix."""

    def build(self, dimension: int) -> Potential:
        from ..problems import Quadratic
        from ..problems.matrices import spd_matrix

        covariance = spd_matrix(self.covariance, dimension, "the covariance of the quadratic")
        return Quadratic(dimension, self.mean, covariance / self.factor)


class RandomQuadraticTable(PotentialTable):
    """V(x) = ½ (x−b)ᵀ A (x−b), A random symmetric positive definite and b ~ N(0, I)."""

    kind: Literal["random-quadratic"]
    """Tag that selects this potential."""
    seed: Whole = 0
    """Seed of A and b."""
    smallest: Annotated[Number, Field(gt=0)] = 0.5
    """Lower bound of the eigenvalues of A, which are uniform between both bounds."""
    largest: Annotated[Number, Field(gt=0)] = 2.0
    """Upper bound of the eigenvalues of A."""

    def build(self, dimension: int) -> Potential:
        import torch

        from ..problems import Quadratic
        from ..problems.matrices import random_spd

        if self.largest < self.smallest:
            raise InputError(
                f"random-quadratic: largest = {self.largest} is below smallest = {self.smallest}"
            )
        precision = random_spd(dimension, self.seed, self.smallest, self.largest)
        generator = torch.Generator().manual_seed(self.seed + 1)
        centre = torch.randn(dimension, generator=generator, dtype=torch.float64)
        covariance = torch.linalg.inv(precision)
        return Quadratic(dimension, centre, 0.5 * (covariance + covariance.T))

    @property
    def outer_factor(self) -> float:
        return self.factor


class CosineTable(PotentialTable):
    """V(x) = factor · Σ_j [amplitude_j cos(2π(x_j − centre_j)/wavelength_j) + ½ stiffness_j
    (x_j − centre_j)²]: lattices, rings, traps."""

    kind: Literal["cosine"]
    """Tag that selects this potential."""
    amplitude: Vector = 1.0
    """Amplitude of the cosine: a number for all coordinates, or one per coordinate."""
    wavelength: Annotated[Vector, Unit("x")] = 1.0
    """Its wavelength, likewise."""
    centre: Annotated[Vector, Unit("x")] = 0.0
    """Point about which both are symmetric, likewise."""
    stiffness: Vector = 0.0
    """Curvature of the parabola, likewise; 0 for none."""

    def build(self, dimension: int) -> Potential:
        from ..problems import Cosine

        return Cosine(dimension, self.amplitude, self.wavelength, self.centre, self.stiffness)

    @property
    def outer_factor(self) -> float:
        return self.factor


class WallsTable(PotentialTable):
    """V(x) = factor · ½ Σ_j stiffness_j dist(x_j, [low_j, high_j])²: a box with soft walls, which
    reflect as the stiffness grows. Diffusion β enters them by (β/stiffness)^½."""

    kind: Literal["walls"]
    """Tag that selects this potential."""
    factor: Annotated[Number, Field(gt=0)] = 1.0
    """Factor of the potential."""
    low: Annotated[Vector, Unit("x")]
    """Lower wall: a number for all coordinates, or one per coordinate."""
    high: Annotated[Vector, Unit("x")]
    """Upper wall, likewise."""
    stiffness: Vector
    """Stiffness of the walls, likewise; 0 for coordinates without."""

    def build(self, dimension: int) -> Potential:
        import torch

        from ..problems import Walls

        stiffness = self.factor * torch.as_tensor(self.stiffness, dtype=torch.float64)
        return Walls(dimension, self.low, self.high, stiffness)


class StyblinskiTangTable(PotentialTable):
    """V(x) = factor · Σ_j (x_j⁴ − 16 x_j² + 5 x_j) [PWGF (5.1)]."""

    kind: Literal["styblinski-tang"]
    """Tag that selects this potential."""
    factor: Number = 3 / 50
    """Factor of the potential."""

    def build(self, dimension: int) -> Potential:
        from ..problems import StyblinskiTang

        return StyblinskiTang(self.factor)


class DoubleWellTable(PotentialTable):
    """V(x) = height (x₁² − 1)² + tilt x₁ + ½ stiffness Σ_{j>1} x_j²: two wells near x₁ = ∓1."""

    kind: Literal["double-well"]
    """Tag that selects this potential."""
    height: Annotated[Number, Field(gt=0)] = 4.0
    """Height > 0 of the barrier at x₁ = 0, without tilt."""
    tilt: Number = 0.5
    """Slope that is added along x₁; where it is positive, the left well is the deeper one."""
    stiffness: Annotated[Number, Field(gt=0)] = 1.0
    """Second derivative > 0 of V in all coordinates but the first."""

    def build(self, dimension: int) -> Potential:
        from ..problems import DoubleWell

        return DoubleWell(self.height, self.tilt, self.stiffness)

    @property
    def outer_factor(self) -> float:
        return self.factor


class EllipticInverseTable(PotentialTable):
    """V(u) = |G(u) − y|²/0.02 + |u|²/200 in the plane: the posterior of coefficient and boundary
    value of an elliptic equation [DJKO 4.4]."""

    kind: Literal["elliptic-inverse"]
    """Tag that selects this potential."""

    def build(self, dimension: int) -> Potential:
        from ..problems import EllipticInverse

        return EllipticInverse()

    @property
    def outer_factor(self) -> float:
        return self.factor


class RosenbrockTable(PotentialTable):
    """V(x) = factor · Σ_k [10 (x_{k+1} − x_k²)² + (x_k − 1)²] [PFPE 6.2.2]."""

    kind: Literal["rosenbrock"]
    """Tag that selects this potential."""
    factor: Number = 3 / 50
    """Factor of the potential."""

    def build(self, dimension: int) -> Potential:
        from ..problems import Rosenbrock

        return Rosenbrock(self.factor)


class GaussianMixtureTable(PotentialTable):
    """V(x) = −log Σ_k weight_k exp(−|x − mean_k|²/(2 variance)): an unnormalised target density."""

    kind: Literal["gaussian-mixture"]
    """Tag that selects this potential."""
    means: list[list[Number]]
    """Means of the components, a list of d coordinates for each."""
    variance: Number = 1.0
    """Variance > 0 of every component in each coordinate."""
    weights: list[Number] | None = None
    """A weight > 0 for each component. Left out, all are equal."""

    def build(self, dimension: int) -> Potential:
        from ..problems import GaussianMixture

        for k, mean in enumerate(self.means):
            if len(mean) != dimension:
                raise InputError(
                    f"gaussian-mixture: mean {k} has {len(mean)} entries but the dimension is "
                    f"{dimension}"
                )
        return GaussianMixture(self.means, self.variance, self.weights)

    @property
    def outer_factor(self) -> float:
        return self.factor


class SampleTargetTable(PotentialTable):
    """V(x) = −log Q(x) for a density Q that is known by samples: log Q/μ, μ a Gaussian with their
    mean and 1.3² times their covariance, is learned once, by logistic regression."""

    kind: Literal["samples"]
    """Tag that selects this potential."""
    path: str | None = None
    """A .npy, .npz or Zarr file with a sample in every row, (N, d). Relative paths begin at the
    working directory; a store keeps whole ones."""
    array: str = ""
    """Name of the array, where the file holds several."""
    draw_from: StartTable | None = None
    """In place of `path`, a density from which samples are drawn: a table as of a start density."""
    count: Annotated[Whole, Field(ge=1)] = 4000
    """Number of samples that are drawn from `draw_from`."""
    seed: Whole = 0
    """Seed of these, of the features, and of the samples that are held out."""

    def build(self, dimension: int) -> Potential:
        from ..problems import SampleTarget

        if (self.path is None) == (self.draw_from is None):
            raise InputError("a potential of samples takes either path or draw_from: give one")
        if self.path is not None:
            return SampleTarget(self.path, dimension, array=self.array, seed=self.seed)
        assert self.draw_from is not None
        return SampleTarget.drawn_from(self.draw_from.build(dimension), self.count, seed=self.seed)

    @property
    def outer_factor(self) -> float:
        return self.factor


class UserPotentialTable(PotentialTable):
    """A potential V of your own, a torch function (n, d) → (n,)."""

    kind: Literal["user"]
    """Tag that selects this potential."""
    function: ImportPath
    """Import path "module:name" of V."""

    def build(self, dimension: int) -> Potential:
        from ..problems import UserPotential

        return UserPotential(load_object(self.function, "a potential"), self.function)

    @property
    def outer_factor(self) -> float:
        return self.factor


def potential_of(tables: Sequence[PotentialTable], dimension: int) -> Potential:
    """The sum of the potentials of the tables, at least one, each with its factor.

    Errors: `InputError` naming what does not fit.
    """
    from ..problems import SumOfPotentials

    terms = [(table.outer_factor, table.build(dimension)) for table in tables]
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]
    return SumOfPotentials(terms)
