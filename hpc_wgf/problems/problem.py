"""A problem: an energy, a start density and a time span."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..choices import InnerProduct
from ..cloud import Cloud
from ..errors import InputError
from ..fields import is_plain_text
from ..interactions import InteractionEnergy, Particles
from ..kinds import check_choice, check_kind, check_number
from ..parallel import LocalCommunicator
from ..periods import Periods
from ..user_code import CHANGES_ITS_SAMPLES, called, check_values, said
from .densities import Density, is_known
from .drift import Drift, LinearDrift, UserDrift, check_drift
from .energies import Energy, Entropy, PotentialEnergy, SumOfEnergies
from .exact import ExactMap, exact_map
from .fermi_flow import FermiFlow
from .flow import Flow
from .linear_flow import linear_map
from .mobility import CovarianceMobility, MatrixMobility, Mobility, MobilityFunction, Saturating
from .moving import MovingPotentialEnergy, check_rate
from .saturating_flow import SaturatingFlow
from .wrapped import wrapped

_WITHIN = (0.382, 0.764)  # of the run: where rates in time are tried


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Problem:
    """∂ₜρ = ∇·(ρ (P ∇ δF/δρ − b)) for start_time ≤ t ≤ until, with ρ(start_time) = λ."""

    energy: SumOfEnergies
    """The energy F, the sum of its parts."""
    start: Density
    """The start density λ on ℝᵈ."""
    until: float
    """The time at which the flow ends."""
    start_time: float
    """The time at which the flow begins."""
    name: str
    """Name of the problem in reports and stores."""
    exact: ExactMap | None
    """The map that carries λ along the exact flow, or None if it is not known."""
    mobility: Mobility | None
    """P, which is I where it is None."""
    inner_product: InnerProduct
    """In which the velocity of a flow with mobility is fitted."""
    drift: Drift | None
    """b, or None without."""
    convexity: float | None
    """κ, by the user's word: F is κ-convex along geodesics of W₂. None to take that of the energy
    (see `SumOfEnergies.convexity`), or where it does not say it that of the samples."""
    periods: Periods | None
    """Periods of the coordinates; None where there are none."""

    def __init__(
        self,
        energy: Energy | Sequence[Energy],
        start: Density,
        until: float,
        *,
        start_time: float = 0.0,
        name: str = "unnamed",
        exact: ExactMap | None = None,
        convexity: float | None = None,
        periods: Periods | Sequence[float] | None = None,
        mobility: Mobility | None = None,
        inner_product: InnerProduct | str = InnerProduct.NATURAL,
        drift: Drift | Callable[..., Tensor] | None = None,
    ) -> None:
        """A flow of `energy`, one part of F or several that are added up, from the density `start`.

        If `exact` is not given, it is found automatically where `exact_map` knows it. With
        `periods` of the coordinates, 0 for none, the start density is wrapped (see `wrapped`).
        `mobility`: P, of which `inner_product` says in which mean square velocities are fitted.
        `drift`: b, also a function of x or of x and t.

        Errors: `InputError` if an object is no energy, density, mobility or drift, if dimensions
        differ, if the times are not finite and increasing, if the name is no line of text, or if
        `periods` are given beside a mobility, a drift or a potential that moves.
        """
        if not (isinstance(name, str) and is_plain_text(name)):
            raise InputError(f"the problem's name is {name!r:.80}: expected a line of text")
        self._set(until=_end(until, start_time), start_time=float(start_time), name=name)
        if convexity is not None:
            check_number(convexity, "the convexity of the energy")
        self._set(convexity=None if convexity is None else float(convexity))
        parts = list(energy) if isinstance(energy, Iterable) else [energy]
        _check_kinds(parts, start)
        total = SumOfEnergies(parts)
        _check_dimensions(total, start.dimension)
        if not (periods is None or isinstance(periods, Periods)):
            periods = Periods.of(start.dimension, periods)
        if periods is not None:
            start = wrapped(start, periods)
        self._set(periods=periods)
        if mobility is not None:
            check_kind(
                mobility, "mobility", ("needs_density", "at", "check"),
                "give MatrixMobility(…), Saturating(…), CovarianceMobility(), MobilityFunction(…) "
                "or UserMobility(…)",
            )  # fmt: skip
        if drift is not None and not isinstance(drift, UserDrift | LinearDrift):
            drift = UserDrift(drift)
        for part, what in ((mobility, "the mobility"), (drift, "the drift")):
            check_dimension(getattr(part, "dimension", None), start.dimension, what)
        inner_product = check_choice(inner_product, InnerProduct, "the inner product")
        self._set(mobility=mobility, drift=drift, inner_product=inner_product)
        self._set(energy=total.at(self.start_time), start=start)
        if periods is not None and not self.is_plain:
            raise InputError(
                "coordinates go round circles in flows without mobility, drift and moving "
                "potentials only: leave one of them out"
            )
        _check_density(self)
        if exact is None and self.is_plain:
            exact = exact_map(total, start)
        elif exact is None:
            known = (linear_map, SaturatingFlow.known, FermiFlow.known)
            found = (each(self.at(), start) for each in known)
            exact = next((each for each in found if each is not None), None)
        self._set(exact=exact)

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def at(self, time: float | None = None) -> Flow:
        """The flow at a time, by default that of the start."""
        time = self.start_time if time is None else time
        return Flow(self.energy.at(time), self.mobility, self.inner_product, self.drift, time)

    @property
    def needs_density(self) -> bool:
        """Whether energy or mobility depend on ρ(x)."""
        return self.at().needs_density

    @property
    def is_plain(self) -> bool:
        """Whether it is the gradient flow of an energy that does not move, with P = I."""
        return self.at().is_plain and not self.energy.moves

    @property
    def couples_coordinates(self) -> bool:
        """Whether the least squares of the velocity couple all coordinates: they are weighed by
        P⁻¹, and P is no multiple of I."""
        weighed = self.mobility is not None and self.inner_product is InnerProduct.NATURAL
        return weighed and not isinstance(self.mobility, MobilityFunction | Saturating)

    @property
    def energy_may_rise(self) -> bool:
        """Whether the energy may rise along the flow, or along its fit in the plain form."""
        plain = self.mobility is not None and self.inner_product is InnerProduct.PLAIN
        return plain or self.drift is not None or self.energy.moves

    def replace(self, *, until: float) -> Problem:
        """The same problem with another end time. The exact map is shared, not computed anew.

        Errors: `InputError` if the end is not after the start."""
        other = copy.copy(self)
        other._set(until=_end(until, self.start_time))
        return other

    def __repr__(self) -> str:
        more = [
            f", {name}={value}"
            for name, value in (("mobility", self.mobility), ("drift", self.drift))
            if value is not None
        ]
        return (
            f"Problem({self.name}: {self.energy}, start={self.start}, until={self.until}"
            f"{''.join(more)})"
        )

    @property
    def left_out_of_energy(self) -> str | None:
        """What F is given without, where samples alone tell the start density λ: β∫λ log λ, as
        entropy takes the density relative to λ. None where F is known."""
        return None if is_known(self.start) or not self.energy.needs_density else "β∫λ log λ"

    @property
    def dimension(self) -> int:
        """d, the dimension of space."""
        return self.start.dimension

    def log_partition(self) -> float | None:
        """log Z of the stationary density ρ_∞ = e^{−V/β}/Z, with which KL(ρ‖ρ_∞) = F(ρ)/β + log Z.
        None if the energy is not ∫Vρ + β∫ρ log ρ with β > 0 on ℝᵈ, if a drift moves that density,
        or if Z is not known."""
        potential, beta = self.energy.potential(), self.energy.beta()
        if potential is None or beta == 0 or not self.tends_to_minimum:
            return None
        if self.periods is not None:  # Potentials know the integral over ℝᵈ.
            return None
        return potential.log_partition(beta)

    @property
    def tends_to_minimum(self) -> bool:
        """Whether this is a flow of ∫Vρ + β∫ρ log ρ without drift, which for β > 0 comes to rest at
        e^{−V/β}/Z and nowhere else: with a mobility that is known to be definite, as where P → 0
        (a density at its limit) the flow stops too."""
        definite = isinstance(self.mobility, MatrixMobility | CovarianceMobility | None)
        return self.energy.is_fokker_planck and self.drift is None and definite

    def check(self, z: Tensor, cloud: Cloud | None = None) -> None:
        """Evaluate the start density, the energy, its force, the mobility and the drift once at
        start samples z, (n, d). `cloud`: they with the density, where it has been evaluated.

        Errors: `InputError` if one of them fails, has the wrong shape or is not finite.
        """
        if cloud is None:
            cloud = Cloud(z, self.start.log_density(z), self.start.score(z))
        _check_start(self.start, cloud)
        for part in self.energy.parts:
            own = Cloud(z.clone(), cloud.log_density.clone(), cloud.score.clone())
            _check_part(part, own)
            if not torch.equal(own.x, z):
                raise InputError(f"{part} {CHANGES_ITS_SAMPLES}")
            if isinstance(part, MovingPotentialEnergy):
                times = [self.start_time + at * (self.until - self.start_time) for at in _WITHIN]
                check_rate(part.potential, z, times)
        if self.mobility is not None:
            self.mobility.check(cloud)
        if self.drift is not None:
            check_drift(self.drift, z, self.start_time)


def _end(until: float, start_time: float) -> float:
    """The end time as a float. Errors: `InputError` unless it is finite and after the start."""
    check_number(until, "the end of the run")
    check_number(start_time, "the start of the run")
    if not (math.isfinite(until) and math.isfinite(start_time)):
        raise InputError(f"times must be finite, got {start_time} to {until}")
    if not until > start_time:
        raise InputError(
            f"the run is to end at {until}, not after its start at {start_time}: "
            "raise problem.until"
        )
    return float(until)


def _check_kinds(parts: Sequence[Energy], start: Density) -> None:
    """Errors: `InputError` unless these are energies and a density, judged by their attributes."""
    check_kind(
        start, "start density", ("dimension", "sample", "log_density", "score"),
        "a density has dimension, sample(random, count) with numpy's random numbers, "
        f"log_density(z) and score(z), {_in_place_of(start)}",
    )  # fmt: skip
    for part in parts:
        remedy = "give PotentialEnergy(potential), Entropy(…), InternalEnergy(…) or "
        needs = () if isinstance(part, InteractionEnergy) else ("needs_density", "force")
        check_kind(part, "part of an energy", needs, f"{remedy}InteractionEnergy(kernel)")


def _in_place_of(start: object) -> str:
    """What to give for a density of another library."""
    if isinstance(start, torch.distributions.Distribution):
        return (
            "which DistributionDensity(distribution) makes of a torch distribution; of a "
            "normal one give Gaussian(dimension, mean, covariance), of a mixture Mixture([…])"
        )
    return "as Gaussian(dimension) has; `hpc-wgf guide extending` shows one of one's own"


def _check_dimensions(energy: SumOfEnergies, dimension: int) -> None:
    """Errors: `InputError` if a potential or a kernel does not allow the dimension of the start
    density."""
    for part in energy.parts:
        if isinstance(part, PotentialEnergy | MovingPotentialEnergy):
            check_dimension(part.potential.dimension, dimension, "the potential")
    for interaction in energy.interactions:
        interaction.kernel.check_dimension(dimension)


def check_dimension(own: int | None, dimension: int, what: str) -> None:
    """Errors: `InputError` where `what` has a dimension, and the start density another."""
    if own is not None and own != dimension:
        raise InputError(
            f"{what} has dimension {own} but the start density has dimension {dimension}"
        )


def _check_density(problem: Problem) -> None:
    """Errors: `InputError` for an energy or a mobility that needs a density of the start which is
    not known."""
    needing: list[object] = [
        part for part in problem.energy.of_density if not isinstance(part, Entropy)
    ]
    if problem.mobility is not None and problem.mobility.needs_density:
        needing.append(problem.mobility)
    if needing and not is_known(problem.start):
        raise InputError(
            f"{needing[0]} needs the density of the start, and samples alone do not tell it: fit "
            'one by start.density = "fitted", or give it as SampleStart(…, density=…)'
        )


def _check_start(start: Density, cloud: Cloud) -> None:
    """Errors: `InputError` unless log-density and score are tensors that fit the samples' shape."""
    d = cloud.x.shape[1]
    for what, value, shape, meaning in (
        ("log density", cloud.log_density, cloud.x.shape[:1], "one value per sample"),
        ("score", cloud.score, cloud.x.shape, f"{d} values per sample"),
    ):
        check_values(f"the {what} of the start density {start}", value, cloud.x, shape, meaning)


def _check_part(part: Energy, cloud: Cloud) -> None:
    """Errors: `InputError` unless a part of the energy and its force are finite at the samples."""
    try:
        values = _tried(part, cloud)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{part} cannot be evaluated at start samples of shape {tuple(cloud.x.shape)}: "
            f"{said(error)}. It is to be made of torch functions that are "
            "differentiable, and to leave the samples as they are"
        ) from error
    for what, value in values.items():
        bad = ~torch.isfinite(value).reshape(len(value), -1).all(1)
        if bool(bad.any()):
            where = int(bad.nonzero()[0])
            raise InputError(
                f"the {what} of {part} is not finite at {int(bad.sum())} of {len(value)} "
                f"start samples, first at x = {cloud.x[where].tolist()}"
            )
    if not bool(torch.isfinite(values["force"].square().sum() if values else torch.zeros(()))):
        raise InputError(
            f"the force of {part} is too large for its square, up to "
            f"{float(values['force'].abs().max()):.3g} at start samples: choose other units"
        )


def _tried(part: Energy, cloud: Cloud) -> dict[str, Tensor]:
    """Integrand and force of a part of the energy, by their names in error messages."""
    if isinstance(part, InteractionEnergy):  # A few particles suffice to evaluate the kernel.
        few = Particles([cloud.x[:64]], [[len(cloud.x[:64])]], LocalCommunicator())
        if few.total < 2:
            return {}
        (field,) = called(f"the kernel of {part}", lambda: part.fields(few, potential=True))
        assert field.potential is not None
        return {"value": field.potential, "force": field.force}
    n, d = cloud.x.shape
    value = called(f"the value of {part}", part.integrand, cloud.x, cloud.log_density)
    check_values(f"the value of {part}", value, cloud.x, (n,), "one value per sample")
    force = called(f"the force of {part}", part.force, cloud)
    check_values(f"the force of {part}", force, cloud.x, (n, d), f"{d} values per sample")
    return {"value": value, "force": force}
