"""The solve of a stage: Gauss–Newton steps with Levenberg and Marquardt's damping,

    (H + μ ‖Ĝ‖/τ I) η = −g,

by preconditioned MINRES. A step is taken where |g| falls in the norm of M⁻¹, M the preconditioner,
or the objective does, and where the map folds neither at the step's samples nor at held-out ones;
else μ is multiplied by 10. It is divided by 4 where it has been raised or |g| falls slowly: with
the smallest μ, steps along motions that hardly move a sample would follow the noise of the samples.
Where ηᵀHη ≤ 0, which rotations bring about, the positive form of H is taken (see `curvature`). The
stage is solved once a step moves the samples by
`rtol` of what the step has moved them, or of a thousandth of the start's spread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...ensemble import Ensemble, unusable
from ...errors import StepFailed
from ...krylov import minres
from ...maps import MapState
from ...metric import GramOperator, Preconditioner
from ...metric.preconditioner import GramModel
from .curvature import Curvature
from .preconditioner import stage_model
from .stage import StageEquation, StagePoint

_FIRST, _LEAST, _MOST = 1e-5, 1e-9, 1e6  # μ
_RESOLVED = 1e-3  # μ up to which a short step says that the stage is solved
_FALLS, _SLOWLY = 0.9, 0.3
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
        work: StageWork,
    ) -> None:  # fmt: skip
        """`most`: iterations of a stage. `least_scale`: the least movement of the samples that
        `rtol` refers to."""
        self.held_out, self.rtol, self.most = held_out, rtol, most
        self.least_scale, self.work = least_scale, work

    def solve(self, equation: StageEquation, guess: MapState) -> StagePoint:
        """The stage's map, from a first guess. Errors: `StepFailed` where it is not found."""
        return _Iteration(self, equation, equation.at(guess)).solved()


class _Iteration:
    """One stage on its way."""

    def __init__(self, owner: GaussNewton, equation: StageEquation, point: StagePoint) -> None:
        self._owner, self._work = owner, owner.work
        self._equation, self._point = equation, point
        self._mu = _FIRST
        self._model: GramModel | None = None
        self._precondition: Preconditioner | None = None
        self._made_at: StagePoint | None = None
        self._shift_of: float | None = None

    def solved(self) -> StagePoint:
        """The point at which a step is short enough."""
        curvature: Curvature | None = None
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
            short = moved <= self._short() and self._mu <= _RESOLVED
            if reached is not None:
                slow = self._merit(reached.slope) > _SLOWLY * self._merit(self._point.slope)
                if slow or self._mu > _FIRST:
                    self._mu = max(_LEAST, 0.25 * self._mu)
                self._point, curvature = reached, None
            if short:
                return self._point
            if reached is None:
                self._raise()
        raise StepFailed(
            f"a stage of {self._equation.tau:g} was not solved in {self._owner.most} "
            "Gauss-Newton steps"
        )

    def _short(self) -> float:
        return self._owner.rtol * max(self._point.moved, self._owner.least_scale)

    def _raise(self) -> None:
        self._work.raised += 1
        self._mu *= 10.0
        if self._mu > _MOST:
            raise StepFailed(
                f"no Gauss-Newton step of a stage of {self._equation.tau:g} is short enough for "
                "the map: it folds, or its force is no smooth function of it"
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
        self._made_at, self._shift_of = point, None
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
        if not bool(eta.isfinite().all()):
            raise StepFailed(f"a solve of a stage failed: {stats.status}")
        # ηᵀHη but for the residual of the solve.
        bent = -torch.dot(eta.double(), g.double() + shift * eta.double())
        if not float(bent) > 0.0 and not curvature.positive:
            return None, 0.0
        if stats.products > _WORN and self._made_at is not self._point:
            self._make(curvature, gram)
        return eta, gram.square_motion(eta) ** 0.5

    def _tried(self, eta: Tensor) -> StagePoint | None:
        """The point that η leads to, where it is to be taken."""
        point = self._point
        try:
            reached = self._equation.at(point.map.moved(point.map.theta + eta))
            falls = self._merit(reached.slope) <= _FALLS * self._merit(point.slope)
            lower = _lower(reached.objective, point.objective)
            if not (falls or lower):
                return None
            if self._owner.held_out is not None:
                self._owner.held_out.check(reached.map)
        except StepFailed:
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
