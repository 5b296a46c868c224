"""A flow at one time: with what velocity particles move, and in which inner product it is fitted.

    u = −P f + b,    f = ∇ δF/δρ,    P the mobility, b the drift.

The velocity of the parameters η minimises, in the *natural* form, E|P^{−½}(Jη − u)|², that is
E[JᵀP⁻¹J] η = −E[Jᵀ(f − P⁻¹b)], with which

    dF/dt = −E|P^{−½}Jη|² + E[bᵀP⁻¹Jη] + ∂ₜF;

and in the *plain* form E|Jη − u|², with dF/dt = E[f·Jη] + ∂ₜF, which has no sign. Without drift the
right-hand side of the natural form is that of P = I, and where V does not move either, F decreases
with any map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..choices import InnerProduct
from ..cloud import Cloud
from ..matrix_field import MatrixField
from .drift import Drift
from .energies import ChunkForce, SumOfEnergies
from .mobility import Mobility, Samples


@dataclass(frozen=True)
class Motion:
    """What the velocity of the particles of a chunk is to be."""

    force: ChunkForce
    """f."""
    opposite: Tensor
    """−u = P f − b, (n, d)."""
    mobility: MatrixField | None = None
    """P; None for I."""
    root: MatrixField | None = None
    """R with P⁻¹ = RᵀR, which weighs the least squares. None for I: there is no mobility, or the
    form is plain."""
    inverse: MatrixField | None = None
    """P⁻¹ = RᵀR likewise."""
    drift: Tensor | None = None
    """b, (n, d); None without."""

    def pulled(self, force: Tensor) -> Tensor:
        """What Jᵀ is applied to in −∇F for a summand of f, but for `pulled_drift`: −f, or −P f in
        the plain form."""
        if self.mobility is None or self.root is not None:
            return force.neg()
        return self.mobility.times(force).neg_()

    @property
    def pulled_drift(self) -> Tensor | None:
        """What Jᵀ is applied to on account of the drift: P⁻¹b, or b in the plain form."""
        if self.drift is None or self.inverse is None:
            return self.drift
        return self.inverse.times(self.drift)

    @property
    def is_plain(self) -> bool:
        """Whether P = I and there is no drift."""
        return self.mobility is None and self.drift is None

    def weighed(self, values: Tensor) -> Tensor:
        """R a for `values` a, (n, d), in whose mean square velocities are fitted."""
        return values if self.root is None else self.root.times(values)

    def power(self, moved: Tensor) -> Tensor:
        """dF/dt for particles that move with Jη = `moved`, (n, d), but for ∂ₜF: at every sample,
        (n,). See the head of this module."""
        if self.mobility is not None and self.root is None:
            return (self.force.total * moved).sum(1)
        power = -self.weighed(moved).square().sum(1)
        drift = self.pulled_drift
        return power if drift is None else power + (drift * moved).sum(1)


@dataclass(frozen=True)
class Flow:
    """∂ₜρ = ∇·(ρ (P ∇ δF/δρ − b)) at a time t."""

    energy: SumOfEnergies
    """F at t."""
    mobility: Mobility | None = None
    """P; None for I."""
    inner_product: InnerProduct = InnerProduct.NATURAL
    """In which the velocity of the parameters is fitted."""
    drift: Drift | None = None
    """b; None without."""
    time: float = 0.0
    """t."""

    @property
    def needs_density(self) -> bool:
        """Whether energy or mobility depend on ρ(x)."""
        return self.energy.needs_density or self.mobility_needs_density

    @property
    def mobility_needs_density(self) -> bool:
        """Whether P depends on ρ(x)."""
        return self.mobility is not None and self.mobility.needs_density

    @property
    def is_plain(self) -> bool:
        """Whether P = I and there is no drift."""
        return self.mobility is None and self.drift is None

    def motions(
        self, clouds: Sequence[Cloud], forces: Sequence[ChunkForce], samples: Samples
    ) -> list[Motion]:
        """At the samples of every chunk of this rank, of which `forces` are the forces. Collective
        where the mobility is."""
        if self.is_plain:
            return [Motion(force, force.total) for force in forces]
        fields: Sequence[MatrixField | None] = [None] * len(clouds)
        if self.mobility is not None:
            fields = self.mobility.at(clouds, samples)
        return [
            self._motion(cloud, force, field)
            for cloud, force, field in zip(clouds, forces, fields, strict=True)
        ]

    def roots(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField] | None:
        """`Motion.root` of every chunk without the forces; None for I. Collective where the
        mobility is."""
        if self.mobility is None or self.inner_product is InnerProduct.PLAIN:
            return None
        return [field.inverse_factors[0] for field in self.mobility.at(clouds, samples)]

    def _motion(self, cloud: Cloud, force: ChunkForce, P: MatrixField | None) -> Motion:
        opposite = force.total if P is None else P.times(force.total)
        drift = None if self.drift is None else self.drift(cloud.x, self.time)
        if drift is not None:
            opposite = opposite - drift
        if P is None or self.inner_product is InnerProduct.PLAIN:
            return Motion(force, opposite, P, drift=drift)
        root, inverse = P.inverse_factors
        return Motion(force, opposite, P, root, inverse, drift)
