"""The parts of an energy: potentials, functionals of the density, interactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..fields import Number, Unit
from .interactions import InteractionTable
from .moving import MovingTrapTable, UserMovingTable
from .potentials import (
    CosineTable,
    DoubleWellTable,
    EllipticInverseTable,
    GaussianMixtureTable,
    PotentialTable,
    QuadraticTable,
    RandomQuadraticTable,
    RosenbrockTable,
    SampleTargetTable,
    StyblinskiTangTable,
    UserPotentialTable,
    WallsTable,
    potential_of,
)
from .table import Table

if TYPE_CHECKING:
    from ..problems import Energy, Entropy, FermiEntropy, InternalEnergy


class EntropyTable(Table):
    """F = β ∫ ρ log ρ: diffusion with coefficient β."""

    kind: Literal["entropy"]
    """Tag that selects this energy."""
    beta: Annotated[Number, Unit("x²/time")] = 1.0
    """Diffusion coefficient β ≥ 0."""

    def build(self) -> Entropy:
        from ..problems import Entropy

        return Entropy(self.beta)


class FermiTable(Table):
    """F = β ∫ [ρ log ρ + (limit − ρ) log(1 − ρ/limit)]: with the mobility `saturating` of the same
    limit, diffusion with coefficient β."""

    kind: Literal["fermi"]
    """Tag that selects this energy."""
    beta: Annotated[Number, Unit("x²/time")] = 1.0
    """Diffusion coefficient β ≥ 0."""
    limit: Annotated[Number, Field(gt=0)] = 1.0
    """Largest density, for densities of mass 1."""

    def build(self) -> FermiEntropy:
        from ..problems import FermiEntropy

        return FermiEntropy(self.beta, self.limit)


class InternalTable(Table):
    """F = factor/(m−1) ∫ ρᵐ: the porous medium equation ∂ₜρ = factor · Δρᵐ."""

    kind: Literal["internal"]
    """Tag that selects this energy."""
    m: Number
    """Exponent m > 1."""
    factor: Number = 1.0
    """Factor of the energy."""

    def build(self) -> InternalEnergy:
        from ..problems import InternalEnergy

        return InternalEnergy(self.m, self.factor)


EnergyTable = Annotated[
    QuadraticTable
    | RandomQuadraticTable
    | CosineTable
    | WallsTable
    | StyblinskiTangTable
    | DoubleWellTable
    | EllipticInverseTable
    | RosenbrockTable
    | GaussianMixtureTable
    | SampleTargetTable
    | UserPotentialTable
    | EntropyTable
    | FermiTable
    | InternalTable
    | InteractionTable
    | MovingTrapTable
    | UserMovingTable,
    Field(discriminator="kind"),
]
"""A table of `[[problem.energy]]`, told apart by its `kind`."""


def build_energy(tables: Sequence[EnergyTable], dimension: int) -> list[Energy]:
    """The parts of the energy: the sum of all potentials first, then the others in their order.

    Errors: `InputError` naming what does not fit.
    """
    from ..problems import PotentialEnergy

    potentials = [table for table in tables if isinstance(table, PotentialTable)]
    parts: list[Energy] = [
        table.build() for table in tables if not isinstance(table, PotentialTable)
    ]
    if potentials:
        parts.insert(0, PotentialEnergy(potential_of(potentials, dimension)))
    return parts
