"""Maps with features tanh(w·x + b) that are trained with all other parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Features
from ..fields import Flag, Number, Unit, Vector, Whole
from .table import Table

if TYPE_CHECKING:
    from ..maps import (
        BlockFlow,
        ConvexGradient,
        NeuralODE,
        PlanarFlow,
        RealNVP,
        ResidualPerceptron,
    )
    from ..maps.features import FeatureOptions
    from ..problems import Problem


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


class NeuralOdeTable(TanhTable):
    """T(z) = x(1) of x' = A x + b + U tanh(W x + w τ + c), x(0) = z, by Runge–Kutta steps in τ: for
    a sample no determinant is factored, in whatever dimension."""

    kind: Literal["neural-ode"]
    """Tag that selects this map."""
    width: Annotated[Whole, Field(ge=1)]
    """Number h of features: W is (h, d), U is (d, h)."""
    steps: Annotated[Whole, Field(ge=4)] = 8
    """Number K of steps of fourth order. Where their log-determinants are off by more than 1e-3,
    the map counts as folded."""
    linear: Flag | None = None
    """Whether there is A, with its d² parameters. By default in up to 64 dimensions."""

    def parameters(self, dimension: int) -> int:
        from ..maps.neural_ode import has_linear_part

        linear = dimension * dimension if has_linear_part(dimension, self.linear) else 0
        return self.width * (2 * dimension + 2) + dimension + linear

    def build(self, problem: Problem) -> NeuralODE:
        from ..maps import NeuralODE

        return NeuralODE(
            problem.dimension, self.width, steps=self.steps, linear=self.linear,
            **self.feature_options(),
        )  # fmt: skip


class RealNvpTable(TanhTable):
    """Coupling layers x = z ∘ exp(s) + t of every second coordinate in turn, s and t functions of
    the others with tanh features."""

    kind: Literal["real-nvp"]
    """Tag that selects this map."""
    layers: Annotated[Whole, Field(ge=1)]
    """Number of layers: with fewer than two, half of the coordinates stay where they are."""
    width: Annotated[Whole, Field(ge=1)]
    """Number h of features of every layer."""

    def parameters(self, dimension: int) -> int:
        even = (dimension + 1) // 2  # coordinates of even number, fixed in the first layer
        counts = [even if k % 2 == 0 else dimension - even for k in range(self.layers)]
        h = self.width
        return sum(h * (fixed + 1) + 2 * (dimension - fixed) * (h + 1) for fixed in counts)

    def build(self, problem: Problem) -> RealNVP:
        from ..maps import RealNVP

        return RealNVP(problem.dimension, self.layers, self.width, **self.feature_options())


class ConvexTable(TanhTable):
    """T = ∇φ, T(z) = z + A z + b + Wᵀ(a ∘ tanh(W z + c)) with a symmetric A, for a convex φ."""

    kind: Literal["convex"]
    """Tag that selects this map."""
    width: Annotated[Whole, Field(ge=1)]
    """Number h of features: W is (h, d), a is (h,)."""

    def parameters(self, dimension: int) -> int:
        return self.width * (dimension + 2) + dimension + dimension * (dimension + 1) // 2

    def build(self, problem: Problem) -> ConvexGradient:
        from ..maps import ConvexGradient

        return ConvexGradient(problem.dimension, self.width, **self.feature_options())
