"""Push-forward maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Features
from ..errors import InputError
from ..fields import Flag, Matrix, Number, Unit, Vector, Whole, shown
from ..memory import machine_memory
from ..user_code import called, said
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..maps import (
        Affine,
        AxisSpline,
        BlockFlow,
        ModuleMap,
        PlanarFlow,
        PushForward,
        RadialFlow,
        ResidualPerceptron,
        SoftmaxGates,
    )
    from ..maps.features import FeatureOptions
    from ..maps.scaling import Scaling
    from ..problems import Modes, Problem


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


class SoftmaxTable(Table):
    """T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk, one motion near every mode of a mixture: gates
    γ_sk = softmax_k(s (μ_k·x − ½|μ_k|²)/σ²) of K centres at several scales."""

    kind: Literal["softmax"]
    """Tag that selects this map."""
    centres: Annotated[list[list[Number]] | None, Field(min_length=2), Unit("x")] = None
    """Centres μ_k, one row each. By default the modes of the target e^{−V/β}, sought along the
    potential from samples of the start density; of a Gaussian mixture its means."""
    variance: Annotated[Number | None, Field(gt=0), Unit("x²")] = None
    """Variance σ² of a mode in one coordinate. By default the mean of βd/tr ∇²V over the modes; of
    a Gaussian mixture its own."""
    scales: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=1)] | None = None
    """Scales s of the gates. By default three, a factor apart, from 1 to ¼ or, where that is
    smaller, to σ² over the variance of the start density (in a later stage, of its images)."""

    def parameters(self, dimension: int) -> int:
        if self.centres is None:
            return 0  # known only once the modes have been found
        scales = 3 if self.scales is None else len(self.scales)
        return dimension * (scales * (len(self.centres) - 1) + dimension + 1)

    def build(self, problem: Problem) -> SoftmaxGates:
        from ..maps import SoftmaxGates

        modes = cache(lambda: _modes_of(problem))  # sought only where one of both is left out
        return SoftmaxGates(
            problem.dimension,
            self.centres or modes().centres,
            variance=self.variance or modes().variance,
            scales=self.scales,
        )


def _modes_of(problem: Problem) -> Modes:
    """The modes of the target. Errors: `InputError` where there is none."""
    from ..methods.base import layout_samples
    from ..problems import find_modes

    potential = problem.energy.potential()
    if potential is None:
        raise InputError(
            "a softmax map takes its centres from the modes of the potential, and there is none: "
            "give centres and variance"
        )
    return find_modes(potential, problem.energy.beta(), layout_samples(problem.start))


class TanhTable(Table):
    """Initial features tanh(w·x + b) of a map, whose kinks w·x + b = 0 should cover the region
    where the start density has its mass. What is left out follows from the start density."""

    features: Features = Features.RANDOM
    """Directions of the initial w: "random", or along one coordinate axis each ("axis")."""
    scale: Annotated[Number | None, Field(gt=0), Unit("1/x")] = None
    """Steepness |w| of the initial features: exact along the axes, a root mean square for random
    directions. By default 1 over the standard deviation of the start density along w."""
    spread: Annotated[Number | None, Field(ge=0), Unit("x")] = None
    """Largest distance from the centre at which initial kinks lie. By default two standard
    deviations of the start density along w."""
    centre: Annotated[Vector | None, Unit("x")] = None
    """Point about which the initial kinks lie: a number for all coordinates, or one per coordinate.
    By default the mean of the start density."""
    seed: Whole = 0
    """Seed of the random initial features."""

    def feature_options(self) -> FeatureOptions:
        """The keys about features as keyword arguments of the maps."""
        return {
            "features": self.features,
            "scale": self.scale,
            "spread": self.spread,
            "centre": self.centre,
            "seed": self.seed,
        }


class PlanarTable(TanhTable):
    """T = T_K ∘ … ∘ T_1, every layer T_k(x) = x + u tanh(w·x + b) [PWGF (5.2)]."""

    kind: Literal["planar"]
    """Tag that selects this map."""
    layers: Annotated[Whole, Field(ge=1)]
    """Number K of layers."""

    def parameters(self, dimension: int) -> int:
        return self.layers * (2 * dimension + 1)

    def build(self, problem: Problem) -> PlanarFlow:
        from ..maps import PlanarFlow

        return PlanarFlow(problem.dimension, self.layers, **self.feature_options())


class BlockTable(TanhTable):
    """T(x) = x + U tanh(W x + b), with `width` features side by side."""

    kind: Literal["block"]
    """Tag that selects this map."""
    width: Annotated[Whole, Field(ge=1)]
    """Number h of features: W is (h, d), U is (d, h)."""

    def parameters(self, dimension: int) -> int:
        return self.width * (2 * dimension + 1)

    def build(self, problem: Problem) -> BlockFlow:
        from ..maps import BlockFlow

        return BlockFlow(problem.dimension, self.width, **self.feature_options())


class PerceptronTable(TanhTable):
    """T(z) = z + N(z), N a multilayer perceptron with tanh layers of the given widths."""

    kind: Literal["perceptron"]
    """Tag that selects this map."""
    widths: Annotated[list[Annotated[Whole, Field(ge=1)]], Field(min_length=1)]
    """Number of features of each hidden layer, beginning at the input."""

    def parameters(self, dimension: int) -> int:
        return sum((a + 1) * b for a, b in pairwise([dimension, *self.widths, dimension]))

    def build(self, problem: Problem) -> ResidualPerceptron:
        from ..maps import ResidualPerceptron

        return ResidualPerceptron(problem.dimension, tuple(self.widths), **self.feature_options())


class ModuleTable(Table):
    """A torch module of your own, which maps (n, d) to (n, d)."""

    kind: Literal["module"]
    """Tag that selects this map."""
    factory: ImportPath
    """Import path "module:name" of a class or function that takes d and returns the module."""
    anchored: Flag = False
    """Whether the map is z + N_θ(z) − N_θ₀(z), N the module and θ₀ its initial parameters, in place
    of N_θ(z): it is then the identity at the start."""
    seed: Whole = 0
    """Seed of torch's random numbers while the module is made."""

    def parameters(self, dimension: int) -> int:
        return 0  # known only once it has been made

    def build(self, problem: Problem) -> ModuleMap:
        import torch
        from torch import nn

        from ..maps import ModuleMap

        factory = load_object(self.factory, "a module")
        torch.manual_seed(self.seed)  # Every rank must get the same initial parameters.
        try:
            module = called(self.factory, factory, problem.dimension)
        except Exception as error:
            raise InputError(
                f"{self.factory} could not make a module for the dimension "
                f"{problem.dimension}: {said(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{self.factory} returned a {type(module).__name__}, expected a torch.nn.Module"
            )
        return ModuleMap(problem.dimension, module, anchored=self.anchored)


MapTable = Annotated[
    AffineTable
    | ScalingTable
    | SplineTable
    | RadialTable
    | SoftmaxTable
    | PlanarTable
    | BlockTable
    | PerceptronTable
    | ModuleTable,
    Field(discriminator="kind"),
]
"""A table of `[[map]]`, told apart by its `kind`."""


_VECTORS = 12  # of θ's length that a step of the cheapest scheme and its solves hold, about


def check_size(tables: Sequence[MapTable], dimension: int, itemsize: int) -> None:
    """Errors: `InputError` where the vectors of as many numbers as the maps have parameters, of
    which every rank has several, are larger than the memory of this machine. `itemsize`: bytes of
    a number."""
    sizes = [table.parameters(dimension) for table in tables]
    needed = _VECTORS * itemsize * sum(sizes)
    memory = machine_memory()
    if needed > memory:
        k = sizes.index(max(sizes))
        raise InputError(
            f"map.{k} = {shown(tables[k].model_dump(exclude_defaults=True))} has {sizes[k]:.3g} "
            f"parameters in dimension {dimension}: a step takes {needed / 2**30:.3g} GiB for them "
            f"on every rank, and this machine has {memory / 2**30:.3g}: take a smaller map"
        )


def build_map(tables: Sequence[MapTable], problem: Problem) -> PushForward:
    """The map that the tables describe: one, or the composition of several, of which the first acts
    first. Errors: `InputError` naming what does not fit."""
    from ..maps import Composition

    parts = [table.build(problem) for table in tables]
    return parts[0] if len(parts) == 1 else Composition(*parts)
