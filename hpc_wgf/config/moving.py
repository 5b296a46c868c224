"""Potentials V(x, t) that move."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..errors import InputError
from ..fields import Number, Unit, Whole
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..problems import MovingPotential, MovingPotentialEnergy, MovingTrap, UserMovingPotential


class MovingTable(Table, ABC):
    """F(t) = ∫ factor · V(x, t) ρ dx."""

    factor: Number = 1.0
    """Factor of the potential."""

    @abstractmethod
    def potential(self) -> MovingPotential:
        """V. Errors: `InputError` naming what does not fit."""

    def build(self) -> MovingPotentialEnergy:
        """The energy at t = 0."""
        from ..problems import MovingPotentialEnergy

        return MovingPotentialEnergy(self.potential(), factor=self.factor)


class MovingTrapTable(MovingTable):
    """V(x, t) = ½ Σᵢ |xᵢ − c(t)|² − (repulsion/4N) Σᵢⱼ |xᵢ − xⱼ|² of N particles xᵢ in the plane,
    c(t) = radius · (cos ωt, sin ωt), ω = frequency; the dimension of the problem is 2N."""

    kind: Literal["moving-trap"]
    """Tag that selects this potential."""
    particles: Annotated[Whole, Field(ge=1)]
    """Number N of particles."""
    repulsion: Annotated[Number, Unit("1/time")] = 0.5
    """Strength of the repulsion, below 1."""
    radius: Annotated[Number, Unit("x")] = 2.0
    """Radius of the circle on which the trap moves."""
    frequency: Annotated[Number, Unit("1/time")] = math.pi
    """Angular frequency ω of the trap."""

    def potential(self) -> MovingTrap:
        from ..problems import MovingTrap

        if not self.repulsion < 1:
            raise InputError(
                f"moving-trap: repulsion = {self.repulsion} is not below 1, so that the particles "
                "would run away from each other"
            )
        return MovingTrap(self.particles, self.repulsion, self.radius, self.frequency)


class UserMovingTable(MovingTable):
    """A potential V(x, t) of your own, a torch function."""

    kind: Literal["moving-user"]
    """Tag that selects this potential."""
    function: ImportPath
    """Import path "module:name" of V, a function of x, (n, d), and of t, a tensor without
    dimensions, differentiable in both: (n,)."""

    def potential(self) -> UserMovingPotential:
        from ..problems import UserMovingPotential

        return UserMovingPotential(load_object(self.function, "a potential"), self.function)
