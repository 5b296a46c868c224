"""Start densities."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .table import Matrix, Table, Vector


class GaussianTable(Table):
    """N(mean, covariance)."""

    kind: Literal["gaussian"] = "gaussian"
    mean: Vector = 0.0
    covariance: Matrix = 1.0


class BarenblattTable(Table):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time above 0."""

    kind: Literal["barenblatt"]
    m: float
    time: float = Field(default=1.0, gt=0)
    centre: Vector = 0.0


class ParaboloidTable(Table):
    """∝ (1 − |z − centre|²/radius²)₊^exponent."""

    kind: Literal["paraboloid"]
    centre: Vector = 0.0
    radius: float = Field(default=1.0, gt=0)
    exponent: float = Field(default=1.0, gt=0)


class BoxTable(Table):
    """Uniform on a box; with a ramp, convolved with a uniform density of that width."""

    kind: Literal["box"]
    low: Vector = -1.0
    high: Vector = 1.0
    ramp: float = Field(default=0.0, ge=0)
    """Width over which the density falls from flat to 0 at each face. Without one the density
    jumps there, which the force form of a density-dependent energy cannot see."""


def gaussian_unless_said(value: Any) -> Any:
    """A density without a kind is a Gaussian."""
    return {"kind": "gaussian", **value} if isinstance(value, dict) else value


ComponentTable = Annotated[
    GaussianTable | BarenblattTable | ParaboloidTable | BoxTable, Field(discriminator="kind")
]


class MixtureTable(Table):
    """A mixture of the other start densities."""

    kind: Literal["mixture"]
    components: list[Annotated[ComponentTable, BeforeValidator(gaussian_unless_said)]]
    weights: list[float] | None = None
    """Positive, normalised to sum 1; equal when left out."""


StartTable = Annotated[
    GaussianTable | MixtureTable | BarenblattTable | ParaboloidTable | BoxTable,
    Field(discriminator="kind"),
]
