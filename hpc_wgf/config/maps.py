"""Push-forward maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..maps import Features
from .table import Table, Vector


class AffineTable(Table):
    """z + A z + b."""

    kind: Literal["affine"]


class TanhTable(Table):
    features: Features = Field(default=Features.RANDOM, strict=False)
    """Initial directions of the tanh features: random, or along the axes."""
    scale: float = Field(default=1.0, gt=0)
    """Steepness of the initial features."""
    spread: float = Field(default=2.0, ge=0)
    """How far from the centre their kinks lie."""
    centre: Vector = 0.0
    """About which point they lie: best the middle of the start density."""
    seed: int = 0


class PlanarTable(TanhTable):
    """K layers x + u tanh(w·x + b)."""

    kind: Literal["planar"]
    layers: int = Field(ge=1)


class BlockTable(TanhTable):
    """x + U tanh(W x + b), `width` features side by side."""

    kind: Literal["block"]
    width: int = Field(ge=1)


class PerceptronTable(TanhTable):
    """z + a multilayer perceptron with tanh layers of the given widths."""

    kind: Literal["perceptron"]
    widths: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)


class ModuleTable(Table):
    """Your own torch module, (n, d) → (n, d)."""

    kind: Literal["module"]
    factory: str
    """Import path "module:name" of a class or function that takes the dimension."""
    anchored: bool = False
    """Use z + N_θ(z) − N_θ₀(z), the identity at the start, in place of N_θ(z)."""
    seed: int = 0
    """Of torch's random numbers while the module is made."""


MapTable = Annotated[
    AffineTable | PlanarTable | BlockTable | PerceptronTable | ModuleTable,
    Field(discriminator="kind"),
]
