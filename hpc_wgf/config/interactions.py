"""Interactions of the particles, and their kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ..choices import PairSums, Route
from ..errors import InputError
from ..fields import Flag, Number, Unit, Whole
from .imports import ImportPath, load_object
from .table import Table

if TYPE_CHECKING:
    from ..interactions import (
        GaussianKernel,
        InteractionEnergy,
        Morse,
        NonradialKernel,
        Power,
        PowerLaw,
        ScreenedCoulomb,
        UserKernel,
    )


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


class PowerTable(Table):
    """J(x) = |x|^q/q, for q = 0 log|x|: attraction, repulsion with a negative factor."""

    kind: Literal["power"]
    """Tag that selects this kernel."""
    exponent: Number = 2.0
    """Exponent q, above −dimension."""

    def build(self) -> Power:
        from ..interactions import Power

        return Power(self.exponent)


class ScreenedCoulombTable(Table):
    """J(x) = exp(−|x|/length)/|x|, or of a field in the plane K₀(|x|/length): repulsion, attraction
    with a negative factor."""

    kind: Literal["screened-coulomb"]
    """Tag that selects this kernel."""
    length: Annotated[Number, Field(gt=0), Unit("x")] = 1.0
    """Length over which the field is screened."""
    field: Annotated[Whole, Field(ge=2, le=3)] = 3
    """Dimension of the space that the field fills: 3, or 2 for K₀."""

    def build(self) -> ScreenedCoulomb:
        from ..interactions import ScreenedCoulomb

        return ScreenedCoulomb(self.length, self.field)


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
        from ..interactions import Morse

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


class NonradialKernelTable(Table):
    """J(x − y) with an even torch function J of your own, (n, d) → (n,)."""

    kind: Literal["nonradial-kernel"]
    """Tag that selects this kernel."""
    function: ImportPath
    """Import path "module:name" of J."""

    def build(self) -> NonradialKernel:
        from ..interactions import NonradialKernel

        return NonradialKernel(load_object(self.function, "a kernel"), self.function)


KernelTable = Annotated[
    PowerTable
    | PowerLawTable
    | GaussianKernelTable
    | MorseTable
    | ScreenedCoulombTable
    | UserKernelTable
    | NonradialKernelTable,
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
    softening: Annotated[Number, Field(ge=0), Unit("x")] = 0.0
    """Length ε over which a radial kernel is made smooth at 0: |x|² + ε² takes the place of |x|².
    0 leaves it as it is; particles in one place then do not act on each other."""
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
    pairs: PairSums = PairSums.TILES
    """What sums over all pairs: "tiles" of torch, "keops" (PyKeOps, an extra, which compiles a loop
    for every kernel), or "automatic", which is settled when the file is read: the faster of the two
    that is installed. A run goes on by what it began with, and is not resumed by a file whose
    "automatic" comes out otherwise."""

    def build(self) -> InteractionEnergy:
        from ..interactions import InteractionEnergy, Softened

        kernel = self.kernel.build()
        return InteractionEnergy(
            Softened(kernel, self.softening) if self.softening else kernel,
            self.factor,
            route=self.route,
            self_pairs=self.self_pairs,
            batch=self.batch,
            # Where nobody has settled it: what is always there.
            pairs=PairSums.TILES if self.pairs is PairSums.AUTOMATIC else self.pairs,
        )

    def settled(self, particles: int, dimension: int) -> InteractionTable:
        """The same with tiles or KeOps in place of "automatic", for `particles` particles in d
        dimensions."""
        if self.pairs is not PairSums.AUTOMATIC:
            return self
        return self.model_copy(update={"pairs": self._fastest(particles, dimension)})

    def _fastest(self, particles: int, dimension: int) -> PairSums:
        # Functions of users are not called before they are trusted, and KeOps has none of them.
        if isinstance(self.kernel, UserKernelTable | NonradialKernelTable):
            return PairSums.TILES
        from ..interactions import fastest_sums

        try:
            energy = self.build()
        except InputError:  # which is told when the run is built
            return PairSums.TILES
        if energy.route_for(particles) is not Route.PAIRS:
            return PairSums.TILES
        return fastest_sums(energy.kernel, particles, dimension)

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `pairs` where it is "tiles", as in stores from before there was a choice."""
        tables: dict[str, Any] = dump(self)
        if self.pairs is PairSums.TILES:
            tables.pop("pairs", None)
        return tables
