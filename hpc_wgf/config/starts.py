"""Start densities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..fields import Matrix, Number, Unit, Vector
from .table import Table

if TYPE_CHECKING:
    from ..problems import Barenblatt, Box, Gaussian, Mixture, Paraboloid


class GaussianTable(Table):
    """N(mean, covariance)."""

    kind: Literal["gaussian"] = "gaussian"
    mean: Annotated[Vector, Unit("x")] = 0.0
    """A number for all coordinates, or one per coordinate."""
    covariance: Annotated[Matrix, Unit("x²")] = 1.0
    """A number c for c·I, a list for a diagonal, or a full matrix."""

    def build(self, dimension: int) -> Gaussian:
        from ..problems import Gaussian

        return Gaussian(dimension, self.mean, self.covariance)


class BarenblattTable(Table):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time above 0."""

    kind: Literal["barenblatt"]
    m: Number
    """Exponent of the porous medium equation, above 1."""
    time: Annotated[Number, Field(gt=0), Unit("time")] = 1.0
    """Since the solution began in one point."""
    centre: Annotated[Vector, Unit("x")] = 0.0
    """A number for all coordinates, or one per coordinate."""

    def build(self, dimension: int) -> Barenblatt:
        from ..problems import Barenblatt

        return Barenblatt(dimension, self.m, self.time, self.centre)


class ParaboloidTable(Table):
    """∝ (1 − |z − centre|²/radius²)₊^exponent."""

    kind: Literal["paraboloid"]
    centre: Annotated[Vector, Unit("x")] = 0.0
    """A number for all coordinates, or one per coordinate."""
    radius: Annotated[Number, Field(gt=0), Unit("x")] = 1.0
    """Of the ball outside of which the density is 0."""
    exponent: Annotated[Number, Field(gt=0)] = 1.0
    """1 for a paraboloid."""

    def build(self, dimension: int) -> Paraboloid:
        from ..problems import Paraboloid

        return Paraboloid(dimension, self.centre, self.radius, self.exponent)


class BoxTable(Table):
    """Uniform on a box; with a ramp, convolved with a uniform density of that width."""

    kind: Literal["box"]
    low: Annotated[Vector, Unit("x")] = -1.0
    """Lower corner: a number for all coordinates, or one per coordinate."""
    high: Annotated[Vector, Unit("x")] = 1.0
    """Upper corner: a number for all coordinates, or one per coordinate."""
    ramp: Annotated[Number, Field(ge=0), Unit("x")] = 0.0
    """Width over which the density falls from flat to 0 at each face. Without one the density
    jumps there, which the force form of a density-dependent energy cannot see."""

    def build(self, dimension: int) -> Box:
        from ..problems import Box

        return Box(dimension, self.low, self.high, self.ramp)


def _gaussian_unless_said(value: Any) -> Any:
    """A density without a kind is a Gaussian."""
    return {"kind": "gaussian", **value} if isinstance(value, dict) else value


ComponentTable = Annotated[
    GaussianTable | BarenblattTable | ParaboloidTable | BoxTable,
    Field(discriminator="kind"),
    BeforeValidator(_gaussian_unless_said),
]


class MixtureTable(Table):
    """A mixture of the other start densities."""

    kind: Literal["mixture"]
    components: list[ComponentTable]
    """Tables of the other kinds, gaussian unless said."""
    weights: list[Number] | None = None
    """Positive, normalised to sum 1; equal when left out."""

    def build(self, dimension: int) -> Mixture:
        from ..problems import Mixture

        return Mixture([each.build(dimension) for each in self.components], self.weights)


StartTable = Annotated[
    GaussianTable | MixtureTable | BarenblattTable | ParaboloidTable | BoxTable,
    Field(discriminator="kind"),
    BeforeValidator(_gaussian_unless_said),
]
