"""Interactions of the particles, and their kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Route
from ..fields import Flag, Number, Unit, Whole
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..interactions import GaussianKernel, InteractionEnergy, PowerLaw, UserKernel
    from ..interactions.kernels import Morse


class PowerLawTable(Table):
    """J(x) = |x|^a/a − |x|^b/b; where an exponent is 0, its term is log|x|."""

    kind: Literal["power-law"]
    """Tag that selects this kernel."""
    a: Number = 4.0
    """Exponent a of the attraction."""
    b: Number = 2.0
    """Exponent b of the repulsion."""

    def build(self) -> PowerLaw:
        from ..interactions import PowerLaw

        return PowerLaw(self.a, self.b)


class GaussianKernelTable(Table):
    """J(x) = −amplitude · exp(−|x|²/(2 width²)): attractive for a positive amplitude."""

    kind: Literal["gaussian-kernel"]
    """Tag that selects this kernel."""
    amplitude: Number = 1.0
    """Depth of the well at x = 0."""
    width: Annotated[Number, Field(gt=0), Unit("x")] = 1.0
    """Standard deviation of the Gaussian."""

    def build(self) -> GaussianKernel:
        from ..interactions import GaussianKernel

        return GaussianKernel(self.amplitude, self.width)


class MorseTable(Table):
    """J(x) = strength · exp(−|x|/range) − exp(−|x|): swarms."""

    kind: Literal["morse"]
    """Tag that selects this kernel."""
    strength: Annotated[Number, Field(ge=0)] = 2.0
    """Strength of the repulsion, over that of the attraction."""
    range: Annotated[Number, Field(gt=0), Unit("x")] = 0.5
    """Range of the repulsion; that of the attraction is 1."""

    def build(self) -> Morse:
        from ..interactions.kernels import Morse

        return Morse(self.strength, self.range)


class UserKernelTable(Table):
    """J(x) = j(|x|²) with a torch function j of your own, applied elementwise."""

    kind: Literal["user-kernel"]
    """Tag that selects this kernel."""
    function: ImportPath
    """Import path "module:name" of j."""

    def build(self) -> UserKernel:
        from ..interactions import UserKernel

        return UserKernel(load_object(self.function, "a kernel"), self.function)


KernelTable = Annotated[
    PowerLawTable | GaussianKernelTable | MorseTable | UserKernelTable,
    Field(discriminator="kind"),
]
"""The kernel of an interaction, told apart by its `kind`."""


class InteractionTable(Table):
    """F = factor/2 ∬ J(x−y) ρ(x) ρ(y) dx dy: every particle x moves with velocity
    −factor · E[∇J(x−y)], the mean over the particles y."""

    kind: Literal["interaction"]
    """Tag that selects this energy."""
    kernel: KernelTable
    """The kernel J, a table of its own."""
    factor: Number = 1.0
    """Factor of the energy."""
    route: Route = Route.AUTOMATIC
    """How the sum over pairs of particles is taken: "moments" (exact, for kernels of even powers
    only), "pairs" (all pairs, passed round the ring of ranks), "batches" (random batches, an
    unbiased estimate), or "automatic"."""
    self_pairs: Flag = False
    """Whether the energy has the pairs of a particle with itself too, as that of the empirical
    measure. Without them it is estimated without bias; singular kernels and random batches never
    have them."""
    batch: Annotated[Whole, Field(ge=2)] = 64
    """Number of particles in a random batch."""

    def build(self) -> InteractionEnergy:
        from ..interactions import InteractionEnergy

        return InteractionEnergy(
            self.kernel.build(),
            self.factor,
            route=self.route,
            self_pairs=self.self_pairs,
            batch=self.batch,
        )
