"""Maps with features tanh(w·x + b) that are trained with all other parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Features
from ..fields import Number, Unit, Vector, Whole
from .table import Table

if TYPE_CHECKING:
    from ..maps import BlockFlow, PlanarFlow, ResidualPerceptron
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
