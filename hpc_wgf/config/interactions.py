"""Interactions of the particles, and their kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..choices import Route
from ..fields import Flag, Number, Unit, Whole
from .imports import load_object
from .table import Table

if TYPE_CHECKING:
    from ..interactions import GaussianKernel, InteractionEnergy, PowerLaw, UserKernel


class PowerLawTable(Table):
    """J(x) = |x|^a/a − |x|^b/b; an exponent 0 stands for log|x|."""

    kind: Literal["power-law"]
    a: Number = 4.0
    """Exponent of the attraction."""
    b: Number = 2.0
    """Exponent of the repulsion."""

    def build(self) -> PowerLaw:
        from ..interactions import PowerLaw

        return PowerLaw(self.a, self.b)


class GaussianKernelTable(Table):
    """J(x) = −amplitude · exp(−|x|²/(2 width²)): attractive for a positive amplitude."""

    kind: Literal["gaussian-kernel"]
    amplitude: Number = 1.0
    """Depth of the well at 0."""
    width: Annotated[Number, Field(gt=0), Unit("x")] = 1.0
    """Standard deviation of the Gaussian."""

    def build(self) -> GaussianKernel:
        from ..interactions import GaussianKernel

        return GaussianKernel(self.amplitude, self.width)


class UserKernelTable(Table):
    """J(x) = j(|x|²), j a torch function of your own, elementwise."""

    kind: Literal["user-kernel"]
    function: str
    """Import path "module:name"."""

    def build(self) -> UserKernel:
        from ..interactions import UserKernel

        return UserKernel(load_object(self.function, "a kernel"), self.function)


KernelTable = Annotated[
    PowerLawTable | GaussianKernelTable | UserKernelTable, Field(discriminator="kind")
]


class InteractionTable(Table):
    """factor/2 ∬ J(x−y) ρ(x) ρ(y): every particle moves with −factor · mean of ∇J(x−y) over y."""

    kind: Literal["interaction"]
    kernel: KernelTable
    """J, a table of its own."""
    factor: Number = 1.0
    """Multiplies the interaction."""
    route: Route = Route.AUTOMATIC
    """How the sum over pairs is taken: "moments" (exact, even powers only), "pairs" (all, round
    the ring of ranks), "batches" (unbiased estimate), or "automatic"."""
    self_pairs: Flag | None = None
    """Whether a particle acts on itself; left out, not where the kernel is singular."""
    batch: Annotated[Whole, Field(ge=2)] = 64
    """Members of a random batch."""

    def build(self) -> InteractionEnergy:
        from ..interactions import InteractionEnergy

        return InteractionEnergy(
            self.kernel.build(),
            self.factor,
            route=self.route,
            self_pairs=self.self_pairs,
            batch=self.batch,
        )
