"""Potentials V of a problem, each added as factor · V."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..errors import InputError
from ..fields import Matrix, Number, Vector, Whole
from .imports import load_object
from .table import Table

if TYPE_CHECKING:
    from ..problems import Potential


class PotentialTable(Table, ABC):
    """∫ factor · V ρ. Several potentials are added up."""

    factor: Number = 1.0
    """Multiplies the potential."""

    @abstractmethod
    def build(self, dimension: int) -> Potential:
        """V in that dimension, with the factor where the potential takes one itself.

        Errors: `InputError` naming what does not fit.
        """

    @property
    def outer_factor(self) -> float:
        """What `build` leaves to be multiplied with."""
        return 1.0


class QuadraticTable(PotentialTable):
    """V(x) = ½ (x−mean)ᵀ covariance⁻¹ (x−mean)."""

    kind: Literal["quadratic"]
    factor: Annotated[Number, Field(gt=0)] = 1.0
    """Multiplies the potential."""
    mean: Vector = 0.0
    """A number for all coordinates, or one per coordinate."""
    covariance: Matrix = 1.0
    """A number c for c·I, a list for a diagonal, or a full matrix."""

    def build(self, dimension: int) -> Potential:
        from ..problems import Quadratic
        from ..problems.matrices import spd_matrix

        covariance = spd_matrix(self.covariance, dimension, "the covariance of the quadratic")
        return Quadratic(dimension, self.mean, covariance / self.factor)


class RandomQuadraticTable(PotentialTable):
    """V(x) = ½ (x−b)ᵀ A (x−b), A random symmetric positive definite, b ~ N(0, I)."""

    kind: Literal["random-quadratic"]
    seed: Whole = 0
    """Of A and b."""
    smallest: Annotated[Number, Field(gt=0)] = 0.5
    """Least eigenvalue that A may have."""
    largest: Annotated[Number, Field(gt=0)] = 2.0
    """Greatest eigenvalue that A may have."""

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


class StyblinskiTangTable(PotentialTable):
    """V(x) = factor · Σ (x_j⁴ − 16 x_j² + 5 x_j)."""

    kind: Literal["styblinski-tang"]
    factor: Number = 3 / 50
    """Multiplies the potential."""

    def build(self, dimension: int) -> Potential:
        from ..problems import StyblinskiTang

        return StyblinskiTang(self.factor)


class RosenbrockTable(PotentialTable):
    """V(x) = factor · Σ 10 (x_{k+1} − x_k²)² + (x_k − 1)²."""

    kind: Literal["rosenbrock"]
    factor: Number = 3 / 50
    """Multiplies the potential."""

    def build(self, dimension: int) -> Potential:
        from ..problems import Rosenbrock

        return Rosenbrock(self.factor)


class GaussianMixtureTable(PotentialTable):
    """V(x) = −log Σ weight_k exp(−|x − mean_k|²/(2 variance)): an unnormalised target."""

    kind: Literal["gaussian-mixture"]
    means: list[list[Number]]
    """One list of coordinates for each component."""
    variance: Number = 1.0
    """Of every component, in each coordinate; above 0."""
    weights: list[Number] | None = None
    """One above 0 for each component; equal when left out."""

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


class UserPotentialTable(PotentialTable):
    """A torch function (n, d) → (n,) of your own."""

    kind: Literal["user"]
    function: str
    """Import path "module:name"."""

    def build(self, dimension: int) -> Potential:
        from ..problems import UserPotential

        return UserPotential(load_object(self.function, "a potential"), self.function)

    @property
    def outer_factor(self) -> float:
        return self.factor


def potential_of(tables: Sequence[PotentialTable], dimension: int) -> Potential:
    """The sum of at least one potential."""
    from ..problems import SumOfPotentials

    terms = [(table.outer_factor, table.build(dimension)) for table in tables]
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]
    return SumOfPotentials(terms)
