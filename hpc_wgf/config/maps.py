"""Push-forward maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Features
from ..errors import InputError
from ..fields import Flag, Number, Unit, Vector, Whole
from .imports import load_object
from .table import Table

if TYPE_CHECKING:
    from ..maps import (
        Affine,
        BlockFlow,
        ModuleMap,
        PlanarFlow,
        PushForward,
        ResidualPerceptron,
    )
    from ..maps.features import FeatureOptions


class AffineTable(Table):
    """z + A z + b."""

    kind: Literal["affine"]

    def build(self, dimension: int) -> Affine:
        from ..maps import Affine

        return Affine(dimension)


class TanhTable(Table):
    """What maps of tanh features share: where their kinks lie at the start."""

    features: Features = Features.RANDOM
    """Initial directions of the tanh features: random, or along the axes ("axis")."""
    scale: Annotated[Number, Field(gt=0), Unit("1/x")] = 1.0
    """Steepness of the initial features."""
    spread: Annotated[Number, Field(ge=0), Unit("x")] = 2.0
    """How far from the centre their kinks lie."""
    centre: Annotated[Vector, Unit("x")] = 0.0
    """About which point they lie: best the middle of the start density."""
    seed: Whole = 0
    """Of the initial features."""

    def feature_options(self) -> FeatureOptions:
        """The keys of this table, as the maps take them."""
        return {
            "features": self.features,
            "scale": self.scale,
            "spread": self.spread,
            "centre": self.centre,
            "seed": self.seed,
        }


class PlanarTable(TanhTable):
    """K layers x + u tanh(w·x + b)."""

    kind: Literal["planar"]
    layers: Annotated[Whole, Field(ge=1)]
    """Number K of layers."""

    def build(self, dimension: int) -> PlanarFlow:
        from ..maps import PlanarFlow

        return PlanarFlow(dimension, self.layers, **self.feature_options())


class BlockTable(TanhTable):
    """x + U tanh(W x + b), `width` features side by side."""

    kind: Literal["block"]
    width: Annotated[Whole, Field(ge=1)]
    """Number of features."""

    def build(self, dimension: int) -> BlockFlow:
        from ..maps import BlockFlow

        return BlockFlow(dimension, self.width, **self.feature_options())


class PerceptronTable(TanhTable):
    """z + a multilayer perceptron with tanh layers of the given widths."""

    kind: Literal["perceptron"]
    widths: Annotated[list[Annotated[Whole, Field(ge=1)]], Field(min_length=1)]
    """Features of each hidden layer, from the samples on."""

    def build(self, dimension: int) -> ResidualPerceptron:
        from ..maps import ResidualPerceptron

        return ResidualPerceptron(dimension, tuple(self.widths), **self.feature_options())


class ModuleTable(Table):
    """Your own torch module, (n, d) → (n, d)."""

    kind: Literal["module"]
    factory: str
    """Import path "module:name" of a class or function that takes the dimension."""
    anchored: Flag = False
    """Use z + N_θ(z) − N_θ₀(z), the identity at the start, in place of N_θ(z)."""
    seed: Whole = 0
    """Of torch's random numbers while the module is made."""

    def build(self, dimension: int) -> ModuleMap:
        import torch
        from torch import nn

        from ..maps import ModuleMap

        factory = load_object(self.factory, "a module")
        torch.manual_seed(self.seed)  # the same initial parameters on every rank
        try:
            module = factory(dimension)
        except TypeError as error:
            raise InputError(
                f"{self.factory} could not be called with the dimension {dimension}: {error}"
            ) from error
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{self.factory} returned a {type(module).__name__}, expected a torch.nn.Module"
            )
        return ModuleMap(dimension, module, anchored=self.anchored)


MapTable = Annotated[
    AffineTable | PlanarTable | BlockTable | PerceptronTable | ModuleTable,
    Field(discriminator="kind"),
]


def build_map(tables: Sequence[MapTable], dimension: int) -> PushForward:
    """The map: one, or several composed in the order in which they act."""
    from ..maps import Composition

    parts = [table.build(dimension) for table in tables]
    return parts[0] if len(parts) == 1 else Composition(*parts)
