"""The solve of a stage: Gauss–Newton steps with Levenberg and Marquardt's damping,

    (H + μ ‖Ĝ‖/τ I) η = −g,

by preconditioned MINRES. A step is taken where |g| falls in the norm of M⁻¹, M the preconditioner,
or the objective does, and where the map folds neither at the step's samples nor at held-out ones;
else μ is multiplied by 10. It is divided by 4 where it has been raised or |g| falls slowly, if g is
as H has told: with the smallest μ, steps along motions that hardly move a sample would follow the
noise of the samples. Where ηᵀHη ≤ 0, which rotations bring about, the positive form of H is taken
(see `curvature`). The stage is solved once a step, well solved for, moves the samples by `rtol` of
what the step has moved them, or of a thousandth of the start's spread; or by a given length.
Rounding of x bounds both.

μ is of Ĝ's largest eigenvalue, and the least of interest are as small as the units of x make them:
the first μ is in proportion to Ĝ's reciprocal condition number at the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...ensemble import Ensemble, FailedSamples, SamplesFailed, unusable
from ...errors import StepFailed
from ...krylov import minres
from ...maps import MapState
from ...metric import GramOperator, Preconditioner
from ...metric.preconditioner import GramModel
from .curvature import Curvature
from .preconditioner import stage_model
from .stage import StageEquation, StagePoint

_FIRST, _SMALLEST, _MOST = 1e-5, 1e-15, 1e6  # μ
_OF_CONDITION = 1e-3  # the first, over the reciprocal condition of the start,
_LEAST = 1e-4  # and the least over it
_RESOLVED = 1e2  # μ over the first up to which a short step says that the stage is solved
_FALL, _SLOWLY = 0.1, 0.3
_TOLD = 0.5  # of |g|, up to which another g than H told is borne where μ is lowered
_SOLVED = 0.5  # true residual of a solve up to which its step is told short
_ROUNDING = 8.0  # of x, in units of the last place
_FORCING = 0.1  # ‖r‖/‖g‖ of a solve
_MOST_PRODUCTS = 1000
_WORN = 40  # products of a solve after which the preconditioner is made anew
_POWER_ITERATIONS = 6


@dataclass
class StageWork:
    """What the solves of a step have taken."""

    iterations: int = 0
    """Gauss–Newton steps that were tried."""
    raised: int = 0
    """Those that were not taken."""
    products: int = 0
    """Products with H, and with Ĝ."""
    factorisations: int = 0
    """Preconditioners that were made or shifted."""
    residual: float = 0.0
    """The largest true residual of a solve."""


@dataclass(frozen=True)
class HeldOut:
    """Samples at which the map must not fold, though no equation is taken from them."""

    ensemble: Ensemble

    def check(self, map: MapState) -> None:
        """Collective. Errors: `StepFailed` where the map has folded at more than a few."""
        pushed = self.ensemble.push(map.active(), density=True, score=False)
        failed = [unusable(cloud, cloud.x, folded_count=True) for cloud in pushed]
        nothing = [cloud.x.new_zeros(1, dtype=torch.float64) for cloud in pushed]
        self.ensemble.sum_or_fail(nothing, failed, pushed, told=0, few_folds=True)


class GaussNewton:
    """Solves the stages of one step."""

    def __init__(
        self, held_out: HeldOut | None, *, rtol: float, most: int, least_scale: float,
        work: StageWork, length: float | None = None, reciprocal_condition: float = 1.0,
    ) -> None:  # fmt: skip
        """`most`: iterations of a stage. `least_scale`: the least movement of the samples that
        `rtol` refers to. `length`: in the unit of x, to be compared with instead.
        `reciprocal_condition`: of the start density."""
        self.held_out, self.rtol, self.most = held_out, rtol, most
        self.least_scale, self.work, self.length = least_scale, work, length
        self.first = min(_FIRST, max(_SMALLEST, _OF_CONDITION * reciprocal_condition))

    def solve(self, equation: StageEquation, guess: MapState) -> StagePoint:
        """The stage's map, from a first guess. Errors: `StepFailed` where it is not found."""
        return _Iteration(self, equation, equation.at(guess)).solved()


class _Iteration:
    """One stage on its way."""

    def __init__(self, owner: GaussNewton, equation: StageEquation, point: StagePoint) -> None:
        self._owner, self._work = owner, owner.work
        self._equation, self._point = equation, point
        self._mu = owner.first
        self._folded: FailedSamples | None = None  # of the last step that was not taken
        self._solved = False  # whether the last step was well solved for
        self._model: GramModel | None = None
        self._precondition: Preconditioner | None = None
        self._made_at: Tensor | None = None  # the slope of the point
        self._shift_of: float | None = None

    def solved(self) -> StagePoint:
        """The point at which a step is short enough."""
        curvature: Curvature | None = None
        first, moved = self._owner.first, 0.0
        for _ in range(self._owner.most):
            if not float(self._point.slope.norm()) > 0.0:
                return self._point
            if curvature is None:
                curvature, gram = self._at_point()
            eta, moved = self._step(curvature, gram)
            self._work.iterations += 1
            if eta is None:
                curvature = replace(curvature, positive=True)
                continue
            reached = self._tried(eta)
            short = self._solved and moved <= self._short() and self._mu <= _RESOLVED * first
            if reached is not None:
                if self._may_be_lowered(eta, reached):
                    self._mu = max(_LEAST * first, 0.25 * self._mu)
                self._point, curvature = reached, None
            if short:
                return self._point
            if reached is None:
                self._raise()
        raise self._failure(
            f"a stage of {self._equation.tau:g} was not solved in {self._owner.most} Gauss-Newton "
            f"steps, the last of which moved the samples by {moved:.2g}, where {self._asked()} "
            f"asks for {self._short():.2g}: loosen it where that is more than so few samples "
            "determine, or shorten method.step"
        )

    def _may_be_lowered(self, eta: Tensor, reached: StagePoint) -> bool:
        """Whether g is as told by H, and a larger step therefore in sight."""
        present = self._merit(self._point.slope)
        told = reached.slope + self._shift() * eta
        slow = self._merit(reached.slope) > _SLOWLY * present
        return (slow or self._mu > self._owner.first) and self._merit(told) <= _TOLD * present

    def _short(self) -> float:
        owner, point = self._owner, self._point
        asked = owner.length
        if asked is None:
            asked = owner.rtol * max(point.moved, owner.least_scale)
        return max(asked, _ROUNDING * torch.finfo(point.slope.dtype).eps * point.size)

    def _asked(self) -> str:
        if self._owner.length is None:
            return f"method.rtol = {self._owner.rtol:g}"
        return "a hundredth of method.tolerance"

    def _failure(self, why: str) -> StepFailed:
        """What is told of a stage that is not solved: where the map has folded, if it has."""
        return StepFailed(why) if self._folded is None else SamplesFailed(self._folded)

    def _raise(self) -> None:
        self._work.raised += 1
        self._mu *= 10.0
        if self._mu > _MOST:
            raise self._failure(
                f"no Gauss-Newton step of a stage of {self._equation.tau:g} is short enough for "
                f"the map: its force is no smooth function of it, or {self._asked()} asks for more "
                "than so few samples determine: loosen it"
            )

    def _at_point(self) -> tuple[Curvature, GramOperator]:
        curvature, gram = self._equation.curvature(self._point), self._equation.gram(self._point)
        if self._made_at is None:
            self._make(curvature, gram)
        return curvature, gram

    def _make(self, curvature: Curvature, gram: GramOperator) -> None:
        """The preconditioner at the present point, and ‖Ĝ‖ there."""
        equation, point = self._equation, self._point
        assert curvature.gram.roots is not None
        self._model = stage_model(
            point.map.active(), equation.ensemble, equation.flow.energy, curvature.gram.roots
        )
        self._made_at, self._shift_of = point.slope, None
        v = torch.ones_like(point.slope)
        for _ in range(_POWER_ITERATIONS):
            v = gram.matvec(v / v.norm())
        self._norm = float(v.norm())
        self._work.products += _POWER_ITERATIONS

    def _shift(self) -> float:
        """μ‖Ĝ‖/τ, for which the preconditioner is factored."""
        shift = self._mu * self._norm / self._equation.tau
        # As a preconditioner it serves for a smaller shift too.
        if self._model is not None and (self._shift_of is None or self._shift_of < shift):
            self._precondition = self._model.shifted(shift, self._point.slope.dtype)
            self._shift_of = shift
            self._work.factorisations += 1
        return shift

    def _step(self, curvature: Curvature, gram: GramOperator) -> tuple[Tensor | None, float]:
        """η and (E|Jη|²)^½; None where H is not positive along η."""
        shift, g = self._shift(), self._point.slope
        eta, stats = minres(
            curvature, -g, rtol=_FORCING, max_steps=_MOST_PRODUCTS, shift=shift,
            preconditioner=self._precondition,
        )  # fmt: skip
        self._work.products += stats.products
        self._work.residual = max(self._work.residual, stats.true_residual)
        self._solved = stats.true_residual <= _SOLVED
        if not bool(eta.isfinite().all()):
            raise StepFailed(f"a solve of a stage failed: {stats.status}")
        # ηᵀHη but for the residual of the solve.
        bent = -torch.dot(eta.double(), g.double() + shift * eta.double())
        if not float(bent) > 0.0 and not curvature.positive:
            return None, 0.0
        if stats.products > _WORN and self._made_at is not self._point.slope:
            self._make(curvature, gram)
        return eta, gram.square_motion(eta) ** 0.5

    def _tried(self, eta: Tensor) -> StagePoint | None:
        """The point that η leads to, where it is to be taken."""
        point = self._point
        try:
            reached = self._equation.at(point.map.moved(point.map.theta + eta))
            # With a large μ a step is a short one, and so are its gains.
            asked = 1.0 - _FALL * min(1.0, _RESOLVED * self._owner.first / self._mu)
            falls = self._merit(reached.slope) <= asked * self._merit(point.slope)
            lower = _lower(reached.objective, point.objective)
            if not (falls or lower):
                self._folded = None
                return None
            if self._owner.held_out is not None:
                self._owner.held_out.check(reached.map)
        except StepFailed as failure:
            self._folded = failure.samples if isinstance(failure, SamplesFailed) else None
            return None
        return reached

    def _merit(self, g: Tensor) -> float:
        """gᵀM⁻¹g, by whose root steps are judged."""
        scaled = g if self._precondition is None else self._precondition(g)
        return max(0.0, float(torch.dot(g.double(), scaled.double()))) ** 0.5


def _lower(reached: float | None, present: float | None) -> bool:
    if reached is None or present is None:
        return False
    return reached < present - 1e-12 * abs(present)
