"""The solve of (Ĝ + εI + sR + diag δ) η = −∇F for maps that are linear in their parameters, by
factorisation.

Their metric depends on the samples alone, but for a mobility: its matrix is made and factored once
for the samples of a step, and serves all stages and attempts of it. R measures the roughness of the
motion (see `LinearFeatures`): where hardly a sample determines a parameter, as beyond the last
samples of a spline, the smoothest motion is taken. δ damps what few samples see, as the differences
of gates of two widths, which are not 0 between modes alone: the noise of these samples, divided by
their small share, would fold the map at others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...accounts import Part, counted
from ...choices import Preconditioning
from ...ensemble import Ensemble
from ...errors import StepFailed
from ...integrators import Resolvent
from ...krylov import SolveStats, Status
from ...maps import PushForward
from ...matrix_field import MatrixField
from ...metric import FeatureGram, GradientGram, GramOperator, gradient_features
from ...metric.feature_gram import Blocks
from ...problems import Flow
from .curvature import curvature
from .flat import FlatSolver
from .normal_equations import NormalEquations, roots_at
from .options import PWGFOptions
from .solver import SPARED, MetricSolver, Solved
from .solver_memory import Memory

_SHIFT = {torch.float64: 1e-9, torch.float32: 1e-6}  # ε/‖Ĝ‖,
_OF_RTOL = 0.01  # and this part of rtol at most
_SMOOTHING = 1e-4  # s/‖Ĝ‖, where ε is not given


class DirectSolver:
    """Solves by the factors of Ĝ, which it keeps for the samples of the last solve: they are a
    function of these alone, and made anew wherever they are missing."""

    kind = Preconditioning.NONE

    def __init__(self, options: PWGFOptions, reciprocal_condition: float = 1.0) -> None:
        """`reciprocal_condition`: of the start density (see `units`)."""
        # An affine motion is hardly damped, whatever the units and origin of x.
        spared = min(1.0, SPARED * reciprocal_condition)
        default = spared * min(_SHIFT[options.torch_dtype], _OF_RTOL * options.rtol)
        self._shift = default if options.shift is None else options.shift
        self._smoothing = spared * _SMOOTHING if options.shift is None else 0.0
        self._damped = options.shift is None
        self._known: tuple[Ensemble, _Factored] | None = None

    def solve(
        self,
        map: PushForward,
        system: NormalEquations,
        memory: Memory | None,
        validation: NormalEquations | None,
        start: Tensor | None = None,
    ) -> Solved:
        """η of a system. Errors: `StepFailed` where Ĝ cannot be factored."""
        return Solved(*self._solved(map, system), None)

    def iterate(
        self, map: PushForward, system: NormalEquations, memory: Memory | None, *, rtol: float
    ) -> tuple[Tensor, SolveStats]:
        """η of a further system."""
        return self._solved(map, system)

    def decrease_damping(self, memory: Memory | None) -> Memory | None:
        """None: a motion that is linear in θ needs no damping."""
        return None

    def resolvent(self, map: PushForward, ensemble: Ensemble, flow: Flow) -> Resolvent:
        """(a, v) ↦ (I − aA)⁻¹v with A = −Ĝ⁻¹H ≈ ∂η/∂θ, H the curvature of the energy at the
        present parameters. Collective. Errors: `StepFailed` where Ĝ + aH cannot be factored."""
        known = self._factored(map, ensemble, roots_at(map, ensemble, flow))
        H = known.gram.fitted(curvature(map, ensemble, flow.energy))
        applied: dict[float, Blocks] = {}

        def resolvent(a: float, v: Tensor) -> Tensor:
            if a not in applied:
                applied[a] = known.gram.resolvent(known.matrices, H, a)
            return applied[a](v)

        return resolvent

    @counted(Part.PRECONDITIONER)
    def _factored(
        self, map: PushForward, ensemble: Ensemble, roots: Sequence[MatrixField] | None
    ) -> _Factored:
        # The metric of a flow with mobility is another at every state.
        if self._known is None or self._known[0] is not ensemble or roots is not None:
            self._known = ensemble, self._factors(FeatureGram.of(map, ensemble, roots))
        return self._known[1]

    def _factored_for(self, map: PushForward, system: NormalEquations) -> _Factored:
        gram: GramOperator = system.gram
        if isinstance(gram, GradientGram):  # which is another at every state, too
            return self._factors(
                gradient_features(map, system.ensemble, gram.projection, gram.epsilon)
            )
        return self._factored(map, system.ensemble, gram.roots)

    @counted(Part.PRECONDITIONER)
    def _factors(self, gram: FeatureGram) -> _Factored:
        if not gram.norm < torch.inf:
            raise StepFailed("the metric of the map's features is not finite")
        matrices = gram.shifted(
            self._shift * gram.norm, self._smoothing * gram.norm, damped=self._damped
        )
        return _Factored(gram, matrices, gram.inverse(matrices))

    @counted(Part.RECURRENCE)
    def _solved(self, map: PushForward, system: NormalEquations) -> tuple[Tensor, SolveStats]:
        known = self._factored_for(map, system)
        eta, size = known.inverse(system.b), float(system.b.norm())
        if size == 0.0:
            return eta, SolveStats(Status.ZERO_RIGHT_HAND_SIDE, 0, 0.0, 0.0)
        residual = float((system.b - known.gram.applied(known.matrices, eta)).norm()) / size
        return eta, SolveStats(Status.CONVERGED, 0, residual, residual)


class _Factored(NamedTuple):
    """The metric on the samples of a step."""

    gram: FeatureGram
    matrices: Tensor
    """Ĝ + εI + sR + diag δ by blocks, (blocks, q, q)."""
    inverse: Blocks
    """v ↦ (Ĝ + εI + sR + diag δ)⁻¹v."""


ParameterSolver = MetricSolver | DirectSolver | FlatSolver
"""What solves for the velocity of the parameters."""
