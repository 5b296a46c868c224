"""Maps that are linear in their parameters: their features follow from the samples."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..fields import Matrix, Number, Unit, Vector, Whole
from .table import Table

if TYPE_CHECKING:
    from ..maps import Affine, AxisSpline, PeriodicMap, RadialBasis, RadialFlow, SoftmaxGates
    from ..maps.scaling import Scaling
    from ..problems import Problem


class AffineTable(Table):
    """T(z) = z + A z + b."""

    kind: Literal["affine"]
    """Tag that selects this map."""

    def parameters(self, dimension: int) -> int:
        return dimension * (dimension + 1)

    def build(self, problem: Problem) -> Affine:
        from ..maps import Affine

        return Affine(problem.dimension)


class ScalingTable(Table):
    """T(z) = z + a ∘ z + b, every coordinate for itself: the affine map of separable flows."""

    kind: Literal["scaling"]
    """Tag that selects this map."""

    def parameters(self, dimension: int) -> int:
        return 2 * dimension

    def build(self, problem: Problem) -> Scaling:
        from ..maps.scaling import Scaling

        return Scaling(problem.dimension)


class SplineTable(Table):
    """T_j(z) = z_j + S_j(z_j) with cubic splines S_j: flows whose coordinates do not talk to each
    other."""

    kind: Literal["spline"]
    """Tag that selects this map."""
    knots: Annotated[Whole, Field(ge=3)] = 16
    """Number of uniform knots of every coordinate."""
    low: Annotated[Vector | None, Unit("x")] = None
    """First knot: a number for all coordinates, or one per coordinate. By default .15 % of the
    start density lie below it, or of a Gaussian what lies below four deviations."""
    high: Annotated[Vector | None, Unit("x")] = None
    """Last knot, likewise."""

    def parameters(self, dimension: int) -> int:
        return self.knots * dimension

    def build(self, problem: Problem) -> AxisSpline:
        from ..maps import AxisSpline

        return AxisSpline(problem.dimension, self.knots, low=self.low, high=self.high)


class PeriodicTable(Table):
    """T(z) = z + c φ(z) with features φ that have the periods of the problem: it commutes with
    them, T(z + L e) = T(z) + L e."""

    kind: Literal["periodic"]
    """Tag that selects this map."""
    harmonics: Annotated[Whole, Field(ge=1)] = 8
    """Number K of cosines and sines of each circle, cos and sin(2πk z/L), k ≤ K."""
    width: Annotated[Whole, Field(ge=0)] = 0
    """Number of fixed tanh features of all coordinates, on circles of their cosine and sine, which
    couple them."""
    seed: Whole = 0
    """Seed of these."""

    def parameters(self, dimension: int) -> int:
        # As if all coordinates were on circles: here their number is not known.
        return dimension * (self.width + 2 * self.harmonics * dimension + 1)

    def build(self, problem: Problem) -> PeriodicMap:
        from ..maps import PeriodicMap

        return PeriodicMap(problem.periods, self.harmonics, self.width, seed=self.seed)


class RadialTable(Table):
    """T(z) = z + g(r) (z − c), r² = (z − c)ᵀC⁻¹(z − c), with a cubic spline g that is 0 from R on:
    flows that are radial about c."""

    kind: Literal["radial"]
    """Tag that selects this map."""
    knots: Annotated[Whole, Field(ge=2)] = 14
    """Number of control points of the spline g."""
    centre: Annotated[Vector | None, Unit("x")] = None
    """Point c: a number for all coordinates, or one per coordinate. By default the mean of the
    start density."""
    radius: Annotated[Number | None, Field(gt=0)] = None
    """Distance R, in units of r. By default it reaches beyond the start density."""
    covariance: Annotated[Matrix | None, Unit("x²")] = None
    """Matrix C: a number c for c·I, the diagonal, or all rows. By default that of the start density
    or, where `centre` is given, the unit matrix, for which r = |z − c|."""

    def parameters(self, dimension: int) -> int:
        return self.knots

    def build(self, problem: Problem) -> RadialFlow:
        from ..maps import RadialFlow

        return RadialFlow(
            problem.dimension,
            self.knots,
            centre=self.centre,
            radius=self.radius,
            covariance=self.covariance,
        )


class RbfTable(Table):
    """T(z) = z + A z + a + Σ_k c_k φ_k(z) with Gaussian radial basis functions φ_k, in up to three
    dimensions: flows of any form there."""

    kind: Literal["rbf"]
    """Tag that selects this map."""
    count: Annotated[Whole | None, Field(ge=2)] = None
    """Number of centres: farthest points among samples of the start density (in a later stage, of
    its images). By default 32 on the line, 64 in the plane, 128 in space."""
    overlap: Annotated[Number, Field(gt=0)] = 2.0
    """Width of the functions, in units of the median distance of a centre from the nearest other
    one."""

    def parameters(self, dimension: int) -> int:
        count = 32 * 2 ** (min(dimension, 3) - 1) if self.count is None else self.count
        return dimension * (count + dimension + 1)

    def build(self, problem: Problem) -> RadialBasis:
        from ..maps import RadialBasis

        return RadialBasis(problem.dimension, self.count, overlap=self.overlap)


class SoftmaxTable(Table):
    """T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk, one motion near every mode of a mixture: gates
    γ_sk = softmax_k(s (μ_k·x − ½|μ_k|²)/σ² + log w_k) of K centres at several scales, and of
    clusters of the samples."""

    kind: Literal["softmax"]
    """Tag that selects this map."""
    centres: Annotated[list[list[Number]] | None, Field(min_length=2), Unit("x")] = None
    """Centres μ_k, one row each. By default the modes of the target e^{−V/β}, sought along the
    potential from samples of the start density; of a Gaussian mixture its means. Without a
    potential there are none."""
    variance: Annotated[Number | None, Field(gt=0), Unit("x²")] = None
    """Variance σ² of a mode in one coordinate. By default the mean of βd/tr ∇²V over the modes; of
    a Gaussian mixture its own."""
    weights: list[Annotated[Number, Field(gt=0)]] | None = None
    """Weights w_k of the centres, up to a factor. By default equal; where the centres are left out,
    those of the Gaussian mixture, or of the heights and widths of the modes if gates then leave
    less of the force at the start over."""
    scales: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=1)] | None = None
    """Scales s of the gates. By default three, a factor apart, from 1 to ¼ or, where that is
    smaller, to half of σ² over the variance of the start density (in a later stage, of its images).
    """
    present: Annotated[Whole, Field(ge=0)] | None = None
    """Number of clusters of the samples that have gates too, laid out anew in every stage; 0 for
    none. By default as many as there are centres."""

    def parameters(self, dimension: int) -> int:
        if self.centres is None:
            return 0  # known only once the modes have been found
        scales = 3 if self.scales is None else len(self.scales)
        count = len(self.centres)
        present = max(1, count if self.present is None else self.present)
        return dimension * (scales * (count - 1) + 2 * (present - 1) + dimension + 1)

    def build(self, problem: Problem) -> SoftmaxGates:
        from ..maps import SoftmaxGates
        from ..methods.modes import target_modes

        if self.centres is None and self.present and problem.energy.potential() is None:
            return SoftmaxGates(problem.dimension, present=self.present)
        modes = cache(lambda: target_modes(problem))  # sought only where one of them is left out
        own = self.centres is None and self.weights is None
        return SoftmaxGates(
            problem.dimension,
            self.centres or modes().centres,
            variance=self.variance or modes().variance,
            weights=modes().weights if own else self.weights,
            scales=self.scales,
            present=self.present,
        )
