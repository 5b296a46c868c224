"""η at a state: the solve, what it leaves over, and how far the map bends along it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...accounts import Part, counted
from ...choices import Metric
from ...ensemble import Ensemble
from ...errors import StepFailed
from ...integrators import Resolvent
from ...maps import MapState, PushForward
from ...parallel import tree_sum
from ...problems import Flow
from .direct import DirectSolver, ParameterSolver
from .flat import FlatSolver
from .normal_equations import NormalEquations
from .options import PWGFOptions
from .solver import MetricSolver
from .solver_memory import Memory

_MOST_NONLINEAR = 0.5  # of a step, above which η is taken for too large
_LARGEST_SHIFT = 1e-2
_NAN = float("nan")
_ROUNDING = 8.0  # of T(z), in epsilons of its size
_MOST_MISFIT = 0.25  # of E|f|², that the bending of a step may leave over


@dataclass(frozen=True)
class StepContext:
    """What the later stages of a step share with its first. Its normal equations are not kept: with
    everything that their products have cached they are by far the largest thing in memory."""

    ensemble: Ensemble
    """The samples of the step."""
    validation: Ensemble | None
    """The samples whose misfit ends its solves."""
    misfit: float
    """E|(T_{θ+hη} − T_θ)/h + f|², h the way to the first stage of the step."""
    damped: bool = False
    """Whether η was damped by a larger shift than the tolerance asks for."""
    too_long: bool = False
    """Whether the step that was proposed is too long, for any shift."""


@dataclass(frozen=True)
class Velocity:
    """η = θ' at a state, on the samples of the step that begins there, with its diagnostics."""

    eta: Tensor
    """η, (p,)."""
    energy_rate: float
    """dF/dt along the flow: −ηᵀĜη, with a drift E[bᵀP⁻¹Jη] more, and ∂ₜF (see `Motion.power`)."""
    projection_error: float
    """δ = E|Jη + f|²: what the map cannot follow of the force [PWGF (3.27)]. With mobility and
    drift P f − b is in the place of f, here and below."""
    force_square: float
    """E|f|²."""
    products: int
    """Products with Ĝ of its solves."""
    residual: float
    """True ‖b − (Ĝ + εI)η‖/‖b‖."""
    converged: bool
    """Whether the solve met its tolerance."""
    context: StepContext
    """What the step goes on with."""
    nonlinearity: float = 0.0
    """(E|T_{θ+hη} − T_θ − hJη|² / E|hJη|²)^½, h the way to the first stage of the step."""
    shift: float = 0.0
    """ε/‖Ĝ‖."""
    memory: Memory | None = None
    """What the solve leaves to those that follow."""
    gradient_error: float = _NAN
    """δ_G = E|Π(Jη + f)|², the part of δ that is a gradient; NaN where it is not asked for."""

    @property
    def figures(self) -> dict[str, float]:
        """Those of a row."""
        return {
            "energy_rate": self.energy_rate,
            "projection_error": self.projection_error,
            "force_square": self.force_square,
        }


@dataclass(frozen=True)
class Monitor:
    """What is measured beside a solve."""

    validation: NormalEquations | None = None
    """The system of other samples, which ends the iteration when these gain no more."""
    probe_step: float | None = None
    """The length of the step over which the nonlinearity of η is measured."""
    measures: bool = True
    """Whether rate and projection error are wanted, as they are where a step begins."""


class VelocitySolver:
    """Solves for η at the present parameters of one map."""

    def __init__(
        self, map: PushForward, options: PWGFOptions, reciprocal_condition: float, *, coupled: bool
    ) -> None:
        """`coupled`: see `PWGFOptions.solves_directly`."""
        self.map, self._metric = map, options.metric_in(map.dimension)
        self._tells_gradient = options.tells_gradient_error
        self.solver: ParameterSolver
        if self._metric is Metric.FLAT:
            self.solver = FlatSolver()
        elif options.solves_directly(map, coupled=coupled):
            self.solver = DirectSolver(options, reciprocal_condition)
        else:
            self.solver = MetricSolver(map, options, reciprocal_condition)

    @property
    def is_direct(self) -> bool:
        """Whether the map is linear in θ and its solves are direct."""
        return isinstance(self.solver, DirectSolver)

    def resolvent(self, map: MapState, ensemble: Ensemble, flow: Flow) -> Resolvent:
        """See `DirectSolver.resolvent`, for an implicit scheme."""
        assert isinstance(self.solver, DirectSolver)
        return self.solver.resolvent(map.active(), ensemble, flow)

    def solve(
        self, system: NormalEquations, memory: Memory | None, monitor: Monitor,
        start: Tensor | None = None,
    ) -> Velocity:  # fmt: skip
        """η of a system. `memory`: of the solve before. `start`: a vector near η. Errors:
        `StepFailed` where the solve fails."""
        return self._velocity(system, memory, monitor, start)

    def damped_velocity(
        self, system: NormalEquations, memory: Memory | None, monitor: Monitor
    ) -> Velocity:
        """Solve, then raise the damping ε tenfold (at most to 1e-2 ‖Ĝ‖) until one step along η is
        linear in θ to 50 %, a Levenberg–Marquardt rule.

        An η that has grown along directions which hardly move a sample would ruin the step. The
        attempt with the smallest misfit is returned; `too_long` says that even its misfit exceeds
        4δ + E|f|²/4: the step is then too long for the flow itself. `memory`: of the step before,
        whose damping comes down again.
        """
        first = best = tried = self.solve(system, self.solver.decrease_damping(memory), monitor)
        products = first.products
        while tried.memory is not None and tried.nonlinearity > _MOST_NONLINEAR:
            if tried.shift >= _LARGEST_SHIFT:
                break
            tried = self._velocity(system, tried.memory, monitor, damped=True)
            products += tried.products
            if tried.context.misfit < best.context.misfit:
                best = tried
        bearable = 4.0 * first.projection_error + _MOST_MISFIT * first.force_square
        context = replace(
            best.context,
            damped=best is not first,
            too_long=tried is not first and best.context.misfit > bearable,
        )
        return replace(best, products=products, context=context)

    def _velocity(
        self, system: NormalEquations, memory: Memory | None, monitor: Monitor,
        start: Tensor | None = None, *, damped: bool = False,
    ) -> Velocity:  # fmt: skip
        """`start`: see `solve`. `damped`: with a larger shift than the solve before, whose `memory`
        it is."""
        if damped and memory is not None and isinstance(self.solver, MetricSolver):
            eta, stats, memory = self.solver.increase_damping(system, memory, monitor.validation)
        else:
            eta, stats, memory = self.solver.solve(
                self.map, system, memory, monitor.validation, start
            )
        if not stats.true_residual <= 1.0:
            raise StepFailed(
                f"the solve ended with a residual of {stats.true_residual:.3g} ‖b‖, worse than "
                f"none: {stats.status} Raise method.rtol or method.samples."
            )
        moved, residual, bent, misfit, power = [_NAN] * 5
        if monitor.measures:
            moved, residual, bent, misfit, power = self._residuals(system, eta, monitor.probe_step)
            if self._metric is Metric.FLAT:
                power = -float(torch.dot(system.b.double(), eta.double()))
        validation = None if monitor.validation is None else monitor.validation.ensemble
        return Velocity(
            eta=eta,
            energy_rate=power + system.energy_drift,
            projection_error=residual,
            force_square=system.force_square,
            products=stats.products,
            residual=stats.true_residual,
            converged=stats.converged,
            nonlinearity=(bent / moved) ** 0.5 if monitor.probe_step and moved else 0.0,
            shift=0.0 if memory is None else memory.shift,
            memory=memory,
            context=StepContext(system.ensemble, validation, misfit),
            gradient_error=self._gradient_error(system, eta, residual),
        )

    @counted(Part.RESIDUALS)
    def _gradient_error(self, system: NormalEquations, eta: Tensor, residual: float) -> float:
        """δ_G; `residual`: δ, of which on the line all is a gradient."""
        if math.isnan(residual) or not self._tells_gradient:
            return _NAN
        if (projection := system.projection) is None:
            return residual
        left = [
            J.jvp(eta) + motion.opposite
            for J, motion in zip(system.gram.chunks, system.motions, strict=True)
        ]
        return projection.square(projection.moments(left))

    @counted(Part.RESIDUALS)
    @torch.no_grad()
    def _residuals(
        self, system: NormalEquations, eta: Tensor, probe_step: float | None
    ) -> list[float]:
        """E|Jη|², E|Jη + f|² and, with u = (T_{θ+hη} − T_θ)/h and h that step, E|u − Jη|² and
        E|u + f|², but for the rounding of u; and dF/dt without ∂ₜF. One all-reduce."""
        theta, ensemble = self.map.get_theta(), system.ensemble
        if probe_step:
            self.map.at(torch.add(theta, eta, alpha=probe_step))
        chunks = zip(system.gram.chunks, system.points, system.images, system.motions, strict=True)
        sums = []
        for k, (J, z, x, motion) in enumerate(chunks):
            moved, force = J.jvp(eta), motion.opposite
            u = (self.map(z) - x).div_(probe_step) if probe_step else moved
            parts = (moved, moved + force, u - moved, u + force, x)
            squares = [ensemble.square(k, part) for part in parts]
            if self._metric is Metric.GRADIENT:  # where −ηᵀG_εη is dF/dt but for the basis
                squares.append(ensemble.weighted(k, (motion.force.total * moved).double()).sum())
            elif not motion.is_plain:
                squares.append(ensemble.weighted(k, motion.power(moved).double()).sum())
            sums.append(torch.stack(squares))
        self.map.at(theta)
        moved, residual, bent, misfit, size, *power = ensemble.mean(tree_sum(sums)).tolist()
        if probe_step:
            # Near a steady state hη is below the last digits of T, and u is nothing but rounding.
            rounding = (_ROUNDING * torch.finfo(theta.dtype).eps / probe_step) ** 2 * size
            bent, misfit = max(0.0, bent - rounding), max(0.0, misfit - rounding)
        return [moved, residual, bent, misfit, power[0] if power else -moved]
