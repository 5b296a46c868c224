"""The interaction energy, and the choice of how its sums over pairs are computed."""

from __future__ import annotations

import math
from numbers import Integral, Real

from torch import Tensor

from ..choices import PairSums, Route
from ..errors import InputError
from .batches import batch_means
from .keops import check_formula, check_installed
from .kernel_checks import check_kernel
from .moments import moment_fields
from .particles import Field, Particles
from .ring import ring_sums
from .tiles import SummedKernel

_MOST_PAIRED = 1 << 17  # particles up to which the automatic route takes all pairs


class InteractionEnergy:
    """F = (c/2) ∬ J(x−y) ρ(x) ρ(y), f(x) = c ∫ ∇J(x−y) ρ(y) dy [PWGF (3.10)]."""

    def __init__(
        self,
        kernel: SummedKernel,
        factor: float = 1.0,
        *,
        route: Route = Route.AUTOMATIC,
        self_pairs: bool = False,
        batch: int = 64,
        pairs: PairSums = PairSums.TILES,
    ) -> None:
        """`kernel`: J. `factor`: c.

        `route`: how the sums over pairs are computed. `automatic` takes moments if the kernel
        allows it, else all pairs, and random batches for more than 131 072 particles, unless
        `self_pairs` is given as true.

        `self_pairs`: whether the pairs x = y are included. Without them, sums are divided by
        n − 1, which makes F and f unbiased estimates from independent particles. With them, sums
        are divided by n, and F is the energy of the empirical measure, larger by about c J(0)/(2n):
        many times F itself if the kernel is narrow. Random batches never include them. Either way
        f/n is the gradient of F with respect to a particle's position.

        `batch`: number of members of a random batch, at least 2. A batch lies within a chunk of
        particles, which bounds it.

        `pairs`: what sums over all pairs, `tiles` or `keops`. `fastest_sums(kernel, particles, d)`
        says which is the faster.

        Errors: `InputError` for other values, and for options that exclude each other.
        """
        check_kernel(kernel)
        _check_types(factor, self_pairs, batch)
        route = _route(route)
        if self_pairs and kernel.singular:
            raise InputError(
                f"{kernel} is, or may be, singular at 0, and self_pairs = true asks for a "
                "particle's action on itself: leave self_pairs out, or set it to false"
            )
        if route is Route.MOMENTS and kernel.even_powers() is None:
            raise InputError(
                f"route 'moments' needs a kernel of even powers 2 and 4, {kernel} is none: "
                "use 'pairs', 'batches' or 'automatic'"
            )
        if route is Route.BATCHES and self_pairs:
            raise InputError("in random batches no particle acts on itself: leave self_pairs out")
        self.pairs = _pair_sums(pairs)
        if self.pairs is PairSums.KEOPS:
            check_formula(kernel)
            if route not in (Route.AUTOMATIC, Route.PAIRS):
                raise InputError(
                    f"pairs = 'keops' sums over all pairs, which route '{route}' does not take: "
                    "leave one of them out"
                )
        self.kernel, self.factor = kernel, float(factor)
        self.route, self.batch, self.self_pairs = route, int(batch), self_pairs

    def convexity(self) -> float | None:
        """κ ≤ 0, so that F is κ-convex along geodesics of W₂: min(0, c λ_min ∇²J), for c < 0
        c λ_max ∇²J. None where the kernel does not say it."""
        bound = self.kernel.convexity() if self.factor >= 0 else self.kernel.concavity()
        return None if bound is None else min(0.0, self.factor * bound)

    def __repr__(self) -> str:
        # Runs that began before there was a choice have tiles.
        by = "" if self.pairs is PairSums.TILES else f", pairs={self.pairs.value}"
        return (
            f"InteractionEnergy({self.kernel}, factor={self.factor}, route={self.route.value}, "
            f"self_pairs={self.self_pairs}, batch={self.batch}{by})"
        )

    def route_for(self, particles: int) -> Route:
        """The route that is taken for `particles` particles, those of all ranks."""
        if self.route is not Route.AUTOMATIC:
            return self.route
        if self.kernel.even_powers() is not None:
            return Route.MOMENTS
        few = particles <= _MOST_PAIRED or self.self_pairs
        return Route.PAIRS if few else Route.BATCHES

    def check_particles(self, particles: int) -> None:
        """What a run needs. Errors: `InputError` if there are fewer than two particles on all ranks
        together and a particle does not act on itself, and without the package that sums."""
        if self.pairs is PairSums.KEOPS and self.route_for(particles) is Route.PAIRS:
            check_installed()
        if particles < 2 and not self.self_pairs:
            raise InputError(
                f"{self} needs at least 2 particles, got {particles}: raise method.samples and "
                "output.particles"
            )

    def fields(self, particles: Particles, *, potential: bool = False) -> list[Field]:
        """f(x), and with `potential` also (c/2) ∫ J(x−y) ρ(y) dy, at this rank's particles: one
        field for each chunk. Collective, unless random batches are taken."""
        route = self.route_for(particles.total)
        if route is Route.BATCHES:
            means = [
                batch_means(self.kernel, x, self.batch, potential=potential)
                for x in particles.chunks
            ]
            return [self._field(mean, self.factor, potential) for mean in means]
        if route is Route.MOMENTS:
            powers = self.kernel.even_powers()
            assert powers is not None
            # As J(0) = 0, leaving out a particle's action on itself changes the divisor only.
            scale = self.factor * particles.total / self._partners(particles.total)
            scaled = {power: scale * c for power, c in powers.items()}
            return moment_fields(scaled, particles, potential)
        sums = ring_sums(
            self.kernel, particles, self_pairs=self.self_pairs, potential=potential, by=self.pairs
        )
        scale = self.factor / self._partners(particles.total)
        return [self._field(total, scale, potential) for total in sums]

    def _partners(self, n: int) -> int:
        return n if self.self_pairs else n - 1

    @staticmethod
    def _field(sums: Tensor, scale: float, potential: bool) -> Field:
        sums = sums * scale
        return Field(sums[:, :-1], 0.5 * sums[:, -1]) if potential else Field(sums, None)


def _check_types(factor: object, self_pairs: object, batch: object) -> None:
    """Errors: `InputError` for what is no finite number, no truth value, no number of members."""
    if not (isinstance(factor, Real) and math.isfinite(factor)):
        raise InputError(
            f"the factor of an interaction energy must be finite, a number, got {factor!r}"
        )
    if not isinstance(self_pairs, bool):
        raise InputError(f"self_pairs must be True or False, got {self_pairs!r}")
    if isinstance(batch, bool) or not isinstance(batch, Integral) or batch < 2:
        raise InputError(f"a random batch needs at least 2 members, got batch = {batch!r}")


def _route(route: object) -> Route:
    try:
        return Route(str(route))
    except ValueError:
        known = ", ".join(repr(each.value) for each in Route)
        raise InputError(f"route must be one of {known}, got {route!r}") from None


def _pair_sums(pairs: object) -> PairSums:
    if pairs not in (PairSums.TILES, PairSums.KEOPS):
        raise InputError(f"pairs must be 'tiles' or 'keops', got {pairs!r}")
    return PairSums(str(pairs))
