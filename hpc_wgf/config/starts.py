"""Densities at the start time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..errors import InputError
from ..fields import Matrix, Number, Unit, Vector
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..problems import (
        Barenblatt,
        Box,
        Density,
        Gaussian,
        Mixture,
        Paraboloid,
        Product,
        SampleStart,
    )


class GaussianTable(Table):
    """The normal density N(mean, covariance)."""

    kind: Literal["gaussian"] = "gaussian"
    """Tag that selects this density; may be left out."""
    mean: Annotated[Vector, Unit("x")] = 0.0
    """Mean: a number for all coordinates, or one per coordinate."""
    covariance: Annotated[Matrix, Unit("x²")] = 1.0
    """Covariance: a number c for c·I, a list for a diagonal, or a full matrix."""

    def build(self, dimension: int) -> Gaussian:
        from ..problems import Gaussian

        return Gaussian(dimension, self.mean, self.covariance)


class BarenblattTable(Table):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time > 0 [PWGF (5.7)]."""

    kind: Literal["barenblatt"]
    """Tag that selects this density."""
    m: Number
    """Exponent m > 1 of the porous medium equation."""
    time: Annotated[Number, Field(gt=0), Unit("time")] = 1.0
    """Time since all mass was in one point."""
    centre: Annotated[Vector, Unit("x")] = 0.0
    """Centre of the ball: a number for all coordinates, or one per coordinate."""

    def build(self, dimension: int) -> Barenblatt:
        from ..problems import Barenblatt

        return Barenblatt(dimension, self.m, self.time, self.centre)


class ParaboloidTable(Table):
    """λ(z) ∝ (1 − |z − centre|²/radius²)₊^exponent."""

    kind: Literal["paraboloid"]
    """Tag that selects this density."""
    centre: Annotated[Vector, Unit("x")] = 0.0
    """Centre of the ball: a number for all coordinates, or one per coordinate."""
    radius: Annotated[Number, Field(gt=0), Unit("x")] = 1.0
    """Radius of the ball outside of which the density is 0."""
    exponent: Annotated[Number, Field(gt=0)] = 1.0
    """Exponent, 1 for a paraboloid."""

    def build(self, dimension: int) -> Paraboloid:
        from ..problems import Paraboloid

        return Paraboloid(dimension, self.centre, self.radius, self.exponent)


class BoxTable(Table):
    """Uniform on a box; with a ramp, convolved with a uniform density of that width in every
    coordinate."""

    kind: Literal["box"]
    """Tag that selects this density."""
    low: Annotated[Vector, Unit("x")] = -1.0
    """Lower corner: a number for all coordinates, or one per coordinate."""
    high: Annotated[Vector, Unit("x")] = 1.0
    """Upper corner: a number for all coordinates, or one per coordinate."""
    ramp: Annotated[Number, Field(ge=0), Unit("x")] = 0.0
    """Width over which the density falls to 0 at each face. Without a ramp the density jumps
    there, which the force form of a density-dependent energy cannot represent."""

    def build(self, dimension: int) -> Box:
        from ..problems import Box

        return Box(dimension, self.low, self.high, self.ramp)


def _gaussian_unless_said(value: Any) -> Any:
    """The table with kind = "gaussian" where it has no `kind`."""
    return {"kind": "gaussian", **value} if isinstance(value, dict) else value


ComponentTable = Annotated[
    GaussianTable | BarenblattTable | ParaboloidTable | BoxTable,
    Field(discriminator="kind"),
    BeforeValidator(_gaussian_unless_said),
]
"""A component of a mixture, told apart by its `kind`."""


class MixtureTable(Table):
    """λ = Σ_k weight_k λ_k, a mixture of other start densities."""

    kind: Literal["mixture"]
    """Tag that selects this density."""
    components: list[ComponentTable]
    """The densities λ_k, tables of the other kinds; one without `kind` is a gaussian."""
    weights: list[Number] | None = None
    """A weight > 0 for each component, normalised to sum 1. Left out, all are equal."""

    def build(self, dimension: int) -> Mixture:
        from ..problems import Mixture

        return Mixture([each.build(dimension) for each in self.components], self.weights)


class ProductTable(Table):
    """λ(z) = Π_j λ_j(z_j), a density on the line for every coordinate."""

    kind: Literal["product"]
    """Tag that selects this density."""
    components: list[ComponentTable]
    """The densities λ_j, one for each coordinate; one without `kind` is a gaussian."""

    def build(self, dimension: int) -> Product:
        from ..problems import Product

        if len(self.components) != dimension:
            raise InputError(
                f"problem.start: {len(self.components)} components of a product, but the dimension "
                f"is {dimension}: give one for each coordinate"
            )
        return Product([each.build(1) for each in self.components])


class SamplesTable(Table):
    """λ is known by samples in a file."""

    kind: Literal["samples"]
    """Tag that selects this start."""
    path: str
    """A .npy, .npz or Zarr file with a sample in every row, (N, d). Relative paths begin at the
    working directory; a store keeps whole ones."""
    array: str = ""
    """Name of the array, where the file holds several."""
    held_out: Annotated[Number, Field(gt=0, lt=1)] = 0.25
    """Share of the samples that steps do not use, for the evaluation sample."""
    density: Literal["fitted"] | None = None
    """"fitted": a mixture of Gaussians fitted to the samples stands for the density of the start.
    Without it energies of position and, with method.form = "energy", entropy can be solved."""

    def build(self, dimension: int) -> SampleStart:
        from ..problems import SampleStart

        return SampleStart(
            self.path, dimension, array=self.array, held_out=self.held_out, density=self.density
        )  # fmt: skip


class UserStartTable(Table):
    """A start density of your own: an object with the methods of one, or a distribution with
    log_prob and sample, as torch.distributions have."""

    kind: Literal["user"]
    """Tag that selects this start."""
    object: ImportPath
    """Import path "module:name" of the object."""

    def build(self, dimension: int) -> Density:
        from ..problems import DistributionDensity

        found = load_object(self.object, "a start density")
        if hasattr(found, "log_prob") and not hasattr(found, "log_density"):
            found = DistributionDensity(found, name=self.object)
        own = getattr(found, "dimension", dimension)
        if own != dimension:
            raise InputError(
                f"the start density {self.object} has dimension {own} but the problem has "
                f"dimension {dimension}"
            )
        density: Density = found
        return density


class RunStartTable(Table):
    """λ is the density of a stored run at a time, whatever was solved there, and by which map. The
    problem begins at its own start_time."""

    kind: Literal["run"]
    """Tag that selects this start."""
    path: str
    """The store. Relative paths begin at the working directory; a store keeps whole ones."""
    time: Annotated[Number, Unit("time")]
    """Any time of that run, which may itself go on later."""

    def build(self, dimension: int) -> Density:
        raise InputError(
            "a density of kind run is the start of a problem, and no other part of one: draw "
            "samples from its store by `hpc-wgf sample`, and give their file"
        )


StartTable = Annotated[
    GaussianTable
    | MixtureTable
    | ProductTable
    | BarenblattTable
    | ParaboloidTable
    | BoxTable
    | SamplesTable
    | RunStartTable
    | UserStartTable,
    Field(discriminator="kind"),
    BeforeValidator(_gaussian_unless_said),
]
"""The start density of a problem, told apart by its `kind`."""
