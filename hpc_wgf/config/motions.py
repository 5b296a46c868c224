"""What moves particles beside the energy: the mobility and the drift of a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..choices import InnerProduct
from ..fields import Matrix, Number, Unit, Vector
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..problems import (
        CovarianceMobility,
        Drift,
        LinearDrift,
        MatrixMobility,
        Mobility,
        MobilityFunction,
        Saturating,
        UserDrift,
        UserMobility,
    )


class MobilityBase(Table, ABC):
    """Particles move with −P ∇ δF/δρ, P the mobility."""

    inner_product: InnerProduct = InnerProduct.NATURAL
    """In which mean square the velocity is fitted: "natural" (of P^{−½} times the misfit; the
    energy then falls with any map) or "plain" (of the misfit itself)."""

    @abstractmethod
    def build(self, dimension: int) -> Mobility:
        """The mobility in dimension `dimension`. Errors: `InputError` naming what does not fit."""


class SaturatingTable(MobilityBase):
    """P = (1 − ρ/limit)₊ I: no density above the limit can build up."""

    kind: Literal["saturating"]
    """Tag that selects this mobility."""
    limit: Annotated[Number, Field(gt=0)]
    """Density at which nothing moves, at least the largest of the start. Densities have mass 1: for
    a problem of mass μ it is 1/μ times the limit there."""

    def build(self, dimension: int) -> Saturating:
        from ..problems import Saturating

        return Saturating(self.limit)


class FunctionTable(MobilityBase):
    """P = M(ρ)/ρ I with a torch function M of your own, applied elementwise to densities of mass 1.
    P is held from a thousandth of its largest value on."""

    kind: Literal["function"]
    """Tag that selects this mobility."""
    function: ImportPath
    """Import path "module:name" of M."""

    def build(self, dimension: int) -> MobilityFunction:
        from ..problems import MobilityFunction

        return MobilityFunction(load_object(self.function, "a mobility"), self.function)


class CovarianceTable(MobilityBase):
    """P = Cov(ρ): the Kalman–Wasserstein flow [DJKO 4.4]."""

    kind: Literal["covariance"]
    """Tag that selects this mobility."""

    def build(self, dimension: int) -> CovarianceMobility:
        from ..problems import CovarianceMobility

        return CovarianceMobility()


class MatrixTable(MobilityBase):
    """P a constant symmetric positive definite matrix: with entropy, an anisotropic diffusion."""

    kind: Literal["matrix"]
    """Tag that selects this mobility."""
    matrix: Matrix
    """P: a number c for c·I, a list for a diagonal, or a full matrix."""

    def build(self, dimension: int) -> MatrixMobility:
        from ..problems import MatrixMobility

        return MatrixMobility(dimension, self.matrix)


class UserMobilityTable(MobilityBase):
    """P(x) by a torch function of your own."""

    kind: Literal["user-mobility"]
    """Tag that selects this mobility."""
    function: ImportPath
    """Import path "module:name" of P, (n, d) → (n, d, d), symmetric positive definite, or (n, d)
    for diagonal matrices."""

    def build(self, dimension: int) -> UserMobility:
        from ..problems import UserMobility

        return UserMobility(load_object(self.function, "a mobility"), self.function)


MobilityTable = Annotated[
    SaturatingTable | FunctionTable | CovarianceTable | MatrixTable | UserMobilityTable,
    Field(discriminator="kind"),
]
"""The mobility of a problem, told apart by its `kind`."""


class LinearDriftTable(Table):
    """b(x, t) = (matrix + sin(t) sine) x + vector."""

    kind: Literal["linear"]
    """Tag that selects this drift."""
    matrix: Annotated[Matrix, Unit("1/time")] = 0.0
    """Matrix at t = 0: a number c for c·I, a list for a diagonal, or a full matrix, not necessarily
    symmetric."""
    sine: Annotated[Matrix, Unit("1/time")] = 0.0
    """Matrix that is added with the factor sin(t)."""
    vector: Annotated[Vector, Unit("x/time")] = 0.0
    """Constant velocity: a number for all coordinates, or one per coordinate."""

    def build(self, dimension: int) -> LinearDrift:
        from ..problems import LinearDrift

        return LinearDrift(dimension, self.matrix, self.vector, self.sine)


class UserDriftTable(Table):
    """b by a torch function of your own."""

    kind: Literal["user-drift"] = "user-drift"
    """Tag that selects this drift; may be left out."""
    function: ImportPath
    """Import path "module:name" of b, a function of x, (n, d), or of x and the time: (n, d)."""

    def build(self, dimension: int) -> UserDrift:
        from ..problems import UserDrift

        return UserDrift(load_object(self.function, "a drift"), self.function)


def _user_unless_said(value: Any) -> Any:
    """The table with kind = "user-drift" where it has no `kind`."""
    return {"kind": "user-drift", **value} if isinstance(value, dict) else value


DriftTable = Annotated[
    LinearDriftTable | UserDriftTable,
    Field(discriminator="kind"),
    BeforeValidator(_user_unless_said),
]
"""The drift of a problem, told apart by its `kind`."""


def build_motions(
    mobility: MobilityBase | None, drift: LinearDriftTable | UserDriftTable | None, dimension: int
) -> dict[str, Any]:
    """The arguments of `Problem` that the tables describe, by name.

    Errors: `InputError` naming what does not fit."""
    moved: Drift | None = None if drift is None else drift.build(dimension)
    if mobility is None:
        return {"drift": moved}
    return {
        "mobility": mobility.build(dimension),
        "inner_product": mobility.inner_product,
        "drift": moved,
    }
