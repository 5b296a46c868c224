"""A bound and an estimate of the error along a run, without an exact solution.

The computed parameters (θ_k, η_k) at times t_k are joined by cubic Hermite polynomials θ(t). With
the residual r = Jθ' + f along this path and F κ-convex along geodesics,

    W₂(ρ_θ(t), ρ(t)) ≤ B(t) = ∫₀ᵗ e^{−κ(t−s)} (E|r(s)|²)^½ ds        [PFPE, Theorem 20]

(there with the projection error δ in place of |r|², which leaves out the error of time stepping).
The integral is taken by Simpson's rule, whose middles are seen by the samples of the estimate, at
most 2000 of the evaluation sample's. B is a bound up to that rule and to the noise of these; for
κ < 0 it grows like e^{|κ|t}. The estimate is the root of the mean square of the linearised error
(see the module `linearised_error`), the sum of its gradient part and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ..accounts import Part, counted
from ..cloud import Cloud
from ..columns import Column
from ..ensemble import MOST_FOLDED, Ensemble, Sampler
from ..errors import InputError, StepFailed
from ..gradients import RidgeBasis
from ..maps import Frame, MapState, Stage
from ..problems import (
    Entropy,
    InternalEnergy,
    PotentialEnergy,
    Problem,
    is_separable,
    no_error_bound,
)
from .halfway import Halfway, Residual, numbers_told, on_two_ranks
from .judge import Judge
from .linearised_error import Galerkin, Seen
from .path import PathPoint, hermite

_NAN = float("nan")
_NoFactors: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
_SAMPLES = 2000  # of the estimate at most,
_COORDINATES = 1 << 18  # which have at most so many coordinates,
_ENTRIES = 1 << 17  # and Hessians of so many entries together,
_FEWEST = 100  # but these at least
_FUNCTIONS = 80  # of its basis,
_PER_FUNCTION = 10  # and samples of each of them at least
_LARGEST = 700.0  # exponent of a number
_WIDEST = 64  # dimensions in which a Hessian is formed at every sample


class ErrorField(NamedTuple):
    """e = T(z) − T_exact(z) as estimated, at the samples of the estimate."""

    z: Tensor
    """Samples of the start density, (n, d)."""
    x: Tensor
    """Their images T(z), (n, d)."""
    error: Tensor
    """e, (n, d) in float64."""
    weights: Tensor
    """w/n, (n,) in float64, with which sums are expectations."""

    @property
    def corrected(self) -> Tensor:
        """x − e, (n, d) in float64: nearer to the exact images than x where e is accurate."""
        return self.x.double() - self.error

    def mean_square(self, field: Tensor) -> float:
        """E|a|² of a vector field a at the samples, (n, d)."""
        return float((self.weights * field.double().square().sum(1)).sum())

    @property
    def size(self) -> float:
        """(E|e|²)^½."""
        return self.mean_square(self.error) ** 0.5


class ErrorMonitor:
    """Follows a run from step to step."""

    columns: Sequence[Column] = (
        Column("error_bound", "time", "bound of W2 to the exact density, and mostly of map_error",
               "x", optional=True),
        Column("error_estimate", "time", "estimate of map_error", "x", optional=True),
        Column("convexity", "time", "kappa of the bound, the least so far", "1/t", optional=True),
        Column("residual_between", "step", "(E|J theta' + f|^2)^(1/2) in the middle of the step, "
               "along the path of the bound", "x/t", optional=True),
        Column("seconds_bound", "step", "seconds of bound and estimate in the step", "s"),
    )  # fmt: skip

    def __init__(self, judge: Judge, sample: Ensemble) -> None:
        """`sample`: samples of the start density for the estimate, all on this rank and the same
        on every rank."""
        self.judge, self.sample = judge, sample
        problem = judge.problem
        self._given = convexity_of(problem)
        self.convexity = math.inf if self._given is None else self._given
        """κ; where it is known from the sample only, the least so far."""
        self.bound = 0.0
        self._estimates = _estimable(problem)
        self._stages: tuple[Stage, ...] = ()
        self._behind, self._basis = sample, self._basis_behind(sample)
        (chunk,) = sample.chunks
        self._rest = torch.zeros_like(chunk.x, dtype=torch.float64)
        self._gradient = self._rest.new_zeros(self._basis.count)
        self._last: tuple[MapState, Residual] | None = None

    @classmethod
    def of(cls, judge: Judge, sampler: Sampler) -> Self:
        """For the first members of the judge's evaluation sample. Errors: `InputError` for flows
        without bound and estimate (see `no_error_bound`)."""
        if reason := no_error_bound(judge.problem):
            raise InputError(f"there is no bound and no estimate of the error: {reason}")
        return cls(judge, sampler.leading(judge.evaluation.blocks, _most_samples(judge.problem)))

    @property
    def state_size(self) -> int:
        """Numbers of `state`."""
        return 3 + self._gradient.numel() + self._rest.numel()

    @property
    def state(self) -> np.ndarray:
        """All that it goes on with, (state_size,) in float64."""
        numbers = [self.bound, self.convexity, float(len(self._stages))]
        parts = (
            torch.tensor(numbers, dtype=torch.float64),
            self._gradient.cpu(), self._rest.cpu().reshape(-1),
        )  # fmt: skip
        return torch.cat(parts).numpy()

    @counted(Part.ESTIMATE)
    def resume(self, state: np.ndarray, map: MapState) -> None:
        """Go on from a state that was stored, at a map of the path."""
        values = torch.from_numpy(np.array(state, dtype=float))
        self.bound, self.convexity = float(values[0]), float(values[1])
        self._go_behind(map.stages[: int(values[2])])
        count = self._gradient.numel()
        # In memory of their own: products round otherwise where numbers begin elsewhere.
        self._gradient = values[3 : 3 + count].clone().to(self._gradient)
        self._rest = values[3 + count :].clone().view_as(self._rest).to(self._rest)

    def _go_behind(self, stages: tuple[Stage, ...]) -> None:
        self._stages = stages
        score = self.judge.problem.energy.needs_density
        self._behind = self.sample.carried(stages, score=score)
        self._basis = self._basis_behind(self._behind)

    def _basis_behind(self, sample: Ensemble) -> RidgeBasis:
        (chunk,) = sample.chunks
        count = min(_FUNCTIONS, sample.total // _PER_FUNCTION)
        return RidgeBasis.of(Frame.of_samples(chunk.x), count).to(chunk.x)

    @torch.no_grad()
    @counted(Part.ESTIMATE)
    def advance(self, begun: PathPoint, reached: PathPoint, step: float) -> float:
        """Add a step of the path; (E|r|²)^½ in its middle. Collective."""
        middle, slopes = hermite(begun, reached, step)
        before, after = self._norm(begun, slopes[0]), self._norm(reached, slopes[2])
        between = None
        if self._estimates:
            try:
                between = self._follow(begun, middle, reached, slopes, step)
            except _NoFactors:  # No number goes on from here, on any rank.
                self._rest = torch.full_like(self._rest, _NAN)
                self._last = None
        if between is None:
            between = self._norm_at(middle, slopes[1])
        kappa = self._given if self._given is not None else min(self.convexity, 0.0)
        half, whole = _exponential(-kappa * step / 2), _exponential(-kappa * step)
        self.bound = whole * self.bound + step / 6 * (whole * before + 4 * half * between + after)
        return between

    def _norm(self, moment: PathPoint, slope: Tensor) -> float:
        if moment.velocity is not None and moment.look is not None:
            # The judge has looked along it.
            return moment.look.projection_error**0.5
        return self._norm_at(moment.map, slope)

    def _norm_at(self, map: MapState, slope: Tensor) -> float:
        """(E|Jθ' + f|²)^½ on the evaluation sample; not a number where the map has folded."""
        try:
            return self.judge.residual(map, slope)
        except StepFailed:
            return _NAN

    def _follow(
        self, begun: PathPoint, middle: MapState, reached: PathPoint, slopes: Sequence[Tensor],
        step: float,
    ) -> float:  # fmt: skip
        """Take the linearised error along; (E|r|²)^½ in the middle of the step."""
        self._enter(begun.map)
        if self._last is not None and self._last[0] is begun.map:
            first = self._last[1]
        else:
            first = Residual.of(self._sight(begun.map, slopes[0]))
        error = Residual(self._gradient, self._rest)

        def in_the_middle() -> Halfway:
            return Halfway.of(
                self._sight(middle, slopes[1]), error, first, step, self.judge.problem.energy,
                coordinates_alone=self._coordinates_alone(middle),
            )  # fmt: skip

        half, last = on_two_ranks(
            self.judge.evaluation.ensemble.communicator, in_the_middle,
            lambda: Residual.of(self._sight(reached.map, slopes[2])), error,
        )  # fmt: skip
        least, norm, folded = half.numbers.tolist()
        if self._given is None:
            self.convexity = min(self.convexity, least)
        self._gradient, self._rest = half.carried(last, step)
        self._last = (reached.map, last) if reached.velocity is not None else None
        return norm if folded <= MOST_FOLDED * self.sample.total else _NAN

    def _coordinates_alone(self, map: MapState) -> bool:
        """Whether r_j depends on x_j alone, for every j."""
        problem = self.judge.problem
        alone = is_separable(problem.energy.potential(), problem.dimension)
        return problem.dimension == 1 or (alone and map.map.coordinates_alone)

    def _sight(self, map: MapState, slope: Tensor) -> Galerkin:
        return Galerkin(self._basis, self._seen(map, slope))

    def _seen(self, map: MapState, slope: Tensor) -> Seen:
        energy, ensemble = self.judge.problem.energy, self._behind
        active = map.active()
        pushed = ensemble.push(active, density=True, score=energy.needs_density)
        (force,) = ensemble.forces(energy, pushed)
        (cloud,), (chunk,) = pushed, ensemble.chunks
        moved = map.map.linearizer().linearize(chunk.x, budget=0).jvp(slope)
        f = force.total.double()
        sound = cloud.unfolded & f.isfinite().all(1)
        f = torch.where(sound[:, None], f, 0.0)
        residual = torch.where(sound[:, None], moved.double() + f, 0.0)
        return Seen(cloud, f, residual, _shares(chunk, sound))

    def _enter(self, map: MapState) -> None:
        """Behind the frozen stages of a map; in a new stage the error is projected onto its
        basis."""
        if map.stages == self._stages:
            return
        frozen = map.stages[len(self._stages) :]
        old = Galerkin(self._basis, self._still(self._behind.carried(frozen, score=False)))
        error = old.field(self._gradient)
        self._go_behind(map.stages)
        new = Galerkin(self._basis, self._still(self._behind))
        self._gradient = new.moments(error)
        self._rest = self._rest + error - new.field(self._gradient)

    def _still(self, ensemble: Ensemble) -> Seen:
        (chunk,) = ensemble.chunks
        zero = torch.zeros_like(chunk.x, dtype=torch.float64)
        return Seen(chunk, zero, zero, _shares(chunk, chunk.unfolded))

    def estimated(self, map: MapState) -> ErrorField | None:
        """The linearised error at a map of the path; None where it is not followed."""
        if not self._estimates:
            return None
        try:
            self._enter(map)
            (cloud,) = self._behind.push(map.active(), density=True, score=False)
            seen = self._still(Ensemble([cloud], self._behind.sizes, self._behind.communicator))
            error = Galerkin(self._basis, seen).field(self._gradient) + self._rest
        except _NoFactors:
            return None
        return ErrorField(self.sample.chunks[0].x, cloud.x, error, seen.weights)

    @property
    def convexity_source(self) -> str:
        """Where κ is known from."""
        if self.judge.problem.convexity is not None:
            return "given"
        return "energy" if self._given is not None else "sample"

    @counted(Part.ESTIMATE)
    def figures(self, map: MapState) -> dict[str, float]:
        """The values of the columns at a map of the path."""
        return self.figures_of(self.estimated(map))

    def figures_of(self, error: ErrorField | None) -> dict[str, float]:
        """The same where `estimated` has found this error."""
        known = self._given is not None or math.isfinite(self.convexity)
        return {
            "error_bound": self.bound if known else _NAN,
            "error_estimate": _NAN if error is None else error.size,
            "convexity": self.convexity if known else _NAN,
        }


def _exponential(exponent: float) -> float:
    """e to a power, infinite where no number can hold it."""
    return math.exp(exponent) if exponent < _LARGEST else math.inf


def _shares(chunk: Cloud, sound: Tensor) -> Tensor:
    """w/n of the samples of a chunk, (n,) in float64, 0 where they are not `sound`."""
    shares = sound.double() / len(sound)
    return shares if (weight := chunk.weight) is None else shares * weight.double()


def looks_between(problem: Problem) -> bool:
    """Whether a monitor looks at all of the evaluation sample once more in every step, as it has no
    estimate whose samples tell E|r|² there."""
    return not _estimable(problem)


def estimate_bytes(problem: Problem, particles: int) -> int:
    """Bytes of the largest arrays of a monitor, ψ' and ψ'' of all functions at its samples, which
    an allocator keeps from step to step, and of its vector fields."""
    if not _estimable(problem):
        return 0
    samples = min(particles, _most_samples(problem))
    return 8 * samples * (2 * _FUNCTIONS + 6 * problem.dimension)


def told_bytes(problem: Problem, particles: int) -> int:
    """Bytes by which two ranks tell each other what they have seen of a step; see `on_two_ranks`.
    0 where nothing is followed."""
    if not _estimable(problem):
        return 0
    samples = min(particles, _most_samples(problem))
    functions = min(_FUNCTIONS, samples // _PER_FUNCTION)
    return 8 * numbers_told(functions, samples * problem.dimension)


def _most_samples(problem: Problem) -> int:
    """Of the estimate."""
    d = problem.dimension
    most = _COORDINATES // d
    if not _has_diagonal_hessian(problem):
        most = min(most, _ENTRIES // d**2)
    return max(_FEWEST, min(_SAMPLES, most))


def convexity_of(problem: Problem) -> float | None:
    """κ by the word of the problem, or else of its energy; None where neither says it."""
    return problem.energy.convexity() if problem.convexity is None else problem.convexity


def _estimable(problem: Problem) -> bool:
    """Whether the linearised error can be followed: not through interactions and energies of a
    user's own, not on circles, nor where a potential's Hessian would be too large
    to form at every sample."""
    known = PotentialEnergy | Entropy | InternalEnergy
    if problem.periods is not None or not all(isinstance(p, known) for p in problem.energy.parts):
        return False
    return problem.dimension <= _WIDEST or _has_diagonal_hessian(problem)


def _has_diagonal_hessian(problem: Problem) -> bool:
    """Whether ∇²V is diagonal, or the same everywhere."""
    potential = problem.energy.potential()
    constant = potential is not None and potential.hessian() is not None
    return constant or is_separable(potential, problem.dimension)
