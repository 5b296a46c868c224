"""Parameterised Wasserstein gradient flow: θ' = −Ĝ(θ)† ∇F(θ) [PWGF (3.18), (3.21)].

    Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images,
so that η = θ' is the least-squares solution of J η ≈ −f: the parameter velocity that moves the
samples most nearly as the flow would. With the same samples in Ĝ and ∇F the system is consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from torch import Tensor

from ...choices import Form, Metric, Preconditioning, Solver, ToleranceUnit
from ...columns import Column
from ...ensemble import Ensemble
from ...errors import StepFailed
from ...integrators import SCHEMES, Controller
from ...maps import MapState, PushForward, behind_stages
from ...metric import StandingGram
from ...parallel import Communicator
from ...problems import Problem, residual_is_defined
from ..base import Setting, State, Trial, start_frame
from ..step_samples import StepSamples
from .centre import CentreOfMass
from .checks import check_options, checks, told_of_form
from .gradients import wanted_gradients
from .memory import WarmStart, load_state_dict, state_dict
from .normal_equations import NormalEquations, assemble
from .options import PWGFOptions
from .precision import in_own_precision
from .units import reciprocal_condition
from .velocity import Monitor, StepContext, Velocity, VelocitySolver

_NAN = float("nan")


_GRADIENT_ERROR = Column(
    "gradient_error", "time", "E|Pi(J eta + f)|^2 on the samples of the step, Pi the projection "
    "onto gradients", "x^2/t^2", optional=True,
)  # fmt: skip


class PWGF:
    """The method on one problem, first map and set of ranks."""

    columns: Sequence[Column] = (
        Column("energy_rate", "time", "-eta^T G eta on the samples of the step", "F/t"),
        Column("projection_error", "time", "E|J eta + f|^2 on the samples of the step "
               "[PWGF (3.27)]", "x^2/t^2", optional=True),
        Column("force_square", "time", "E|f|^2 on the samples of the step", "x^2/t^2",
               optional=True),
        Column("energy_rate", "step", "energy_rate where the step begins", "F/t"),
        Column("projection_error", "step", "projection_error where the step begins", "x^2/t^2",
               optional=True),
        Column("products", "step", "products with the metric", integer=True),
        Column("solves", "step", "linear solves", integer=True),
        Column("unconverged", "step", "solves that ended above the tolerance", integer=True),
        Column("residual", "step", "largest true residual of a solve, over the right-hand side"),
        Column("nonlinearity", "step", "motion of the samples other than linear in theta, over "
               "the linear one"),
        Column("misfit", "step", "E|(T_{theta + h eta} - T_theta)/h + f|^2, h the way to the first "
               "stage: what a step's own motion leaves of the force", "x^2/t^2", optional=True),
        Column("seconds_drawing", "step", "seconds of drawing the step's samples, and of carrying "
               "them through frozen stages", "s"),
        Column("left_out", "step", "new samples at which the map has folded, left out of the step",
               integer=True),
        Column("shift", "step", "epsilon over the largest eigenvalue of the metric"),
    )  # fmt: skip

    def __init__(self, setting: Setting, options: PWGFOptions) -> None:
        """Errors: `InputError` where the method cannot solve the problem."""
        self.setting, self.options = setting, options
        if options.tells_gradient_error:
            self.columns = (*type(self).columns, _GRADIENT_ERROR)
        self.problem, self.communicator = setting.problem, setting.communicator
        check_options(self.problem, options, setting.evaluation.ensemble.total)
        self._residual_is_defined = residual_is_defined(setting.problem)
        self.scheme = SCHEMES[options.scheme]
        self.reciprocal_condition = reciprocal_condition(setting.problem.start)
        self._spread = float(start_frame(setting.problem.start).deviations.norm())
        held_out = None if options.validation is None else options.validation_samples
        self._samples = StepSamples(setting, options, held_out=held_out)
        self._velocities = self._solver_of(setting.map, self.reciprocal_condition)
        # A graph pays where solves are by MINRES; on a CPU there is none.
        on_gpu = self.communicator.device.type == "cuda"
        self._gradients = wanted_gradients(options, self.problem.dimension)
        recorded = on_gpu and self._iterative is Solver.MINRES and self._gradients is None
        self._standing = StandingGram() if recorded else None
        self._centre = None
        if options.metric is not Metric.FLAT:
            self._centre = CentreOfMass.kept(setting, self._samples.blocks, options.budget)

    @classmethod
    def on(
        cls, problem: Problem, map: PushForward, options: PWGFOptions, communicator: Communicator,
        *, particles: int | None = None, pieces: int | None = None,
    ) -> Self:  # fmt: skip
        """The method in a setting of its own (see `Setting.of`)."""
        setting = Setting.of(
            problem, map, options, communicator, particles=particles, pieces=pieces
        )
        return cls(setting, options)

    def start(self) -> State[WarmStart]:
        map = MapState((), self.setting.map, self.setting.map.get_theta())
        return State(self.problem.start_time, map, 0, self.options.step_size)

    def controller(self) -> Controller:
        return self.options.controller(self._spread)

    def checks(self) -> Sequence[Callable[[], None]]:
        state = self.start()
        return checks(
            self.problem, self.options, state.map,
            lambda: self.samples(state.map, 0).chunks,
            reciprocal_condition=self.reciprocal_condition,
            plain=self.preconditioner is Preconditioning.NONE and not self._velocities.is_direct,
            proposal=self.setting.sampler.proposal,
        )  # fmt: skip

    def warnings(self) -> Sequence[str]:
        return told_of_form(self.problem, self.options)

    @property
    def preconditioner(self) -> Preconditioning:
        """The kind that the solves use."""
        return self._velocities.solver.kind

    def description(self) -> Mapping[str, Any]:
        return {
            "preconditioner": self.preconditioner.value,
            "solver": (Solver.DIRECT if self._velocities.is_direct else self._iterative).value,
        }

    @property
    def _iterative(self) -> Solver:
        return Solver.LSMR if self.options.solver is Solver.LSMR else Solver.MINRES

    def solver(self, map: MapState) -> VelocitySolver:
        """Solves for velocities of the active map; every stage has one of its own."""
        if self._velocities.map is not map.map:
            # The images of the start density may lie further from the origin than it does itself.
            behind = partial(behind_stages, map.stages, like=map.theta)
            condition = reciprocal_condition(self.problem.start, behind if map.stages else None)
            self._velocities = self._solver_of(map.map, condition)
        return self._velocities

    def _solver_of(self, map: PushForward, reciprocal_condition: float) -> VelocitySolver:
        coupled = self.problem.couples_coordinates
        return VelocitySolver(map, self.options, reciprocal_condition, coupled=coupled)

    def enter(self, state: State[WarmStart]) -> State[WarmStart]:
        return replace(state, entered=self.velocity_at(state))

    def velocity(self, state: State[WarmStart]) -> Tensor:
        eta: Tensor = state.entered.eta
        return eta

    def figures(self, state: State[WarmStart]) -> Mapping[str, float]:
        found: Velocity = state.entered
        if not self.options.tells_gradient_error:
            return found.figures
        return {**found.figures, _GRADIENT_ERROR.name: found.gradient_error}

    @in_own_precision
    def velocity_at(self, state: State[WarmStart]) -> Velocity:
        """η on the samples of the step that begins at `state`, damped as the step wants it."""
        time, held_out = state.time, self.validation_samples(state.map, state.step)
        system = self._unfolded_system(time, state.map, self.samples(state.map, state.step))
        warm = state.memory or WarmStart(None, None)
        solver = self.solver(state.map)
        monitor = Monitor(
            self._validation(time, state.map, held_out),
            # A motion that is linear in θ cannot bend.
            None if solver.is_direct else self.scheme.first_stage(state.step_size, warm.scheme),
        )
        return self._mask_undefined(solver.damped_velocity(system, warm.solver, monitor))

    def _unfolded_system(self, time: float, map: MapState, ensemble: Ensemble) -> NormalEquations:
        """The system on new samples, without those few at which the map has folded already."""
        return ensemble.where_unfolded(
            map.active(), lambda samples: self.system(map, samples, time)
        )

    def _validation(
        self, time: float, map: MapState, ensemble: Ensemble | None
    ) -> NormalEquations | None:
        return None if ensemble is None else self._unfolded_system(time, map, ensemble)

    def _for_step(
        self, state: State[WarmStart], velocity: Velocity, step_size: float
    ) -> tuple[Velocity, int]:
        """The velocity for a step shorter than was proposed, where that matters, and the products
        that it took beyond. Errors: `StepFailed` where the step is too long for any shift."""
        context, products = velocity.context, 0
        shorter = step_size < 0.75 * state.step_size
        if shorter and (context.damped or context.too_long):
            velocity = self.velocity_at(replace(state, step_size=step_size))
            products = velocity.products
        if velocity.context.too_long:
            raise StepFailed(
                f"η moves the samples by {velocity.nonlinearity:.0%} otherwise than linearly, and "
                "damping it far enough would leave much of the force over: the step is long, or "
                "features of the map lie elsewhere than the samples (leave out its centre, spread "
                "and scale), or samples are few"
            )
        return velocity, products

    def _mask_undefined(self, velocity: Velocity) -> Velocity:
        """E|f|² and δ have no meaning where the force misses a jump, or has no variance."""
        if self._residual_is_defined:
            return velocity
        # The weak form's has: a jump has moments.
        told = velocity.gradient_error if self.options.form is Form.WEAK else _NAN
        return replace(velocity, projection_error=_NAN, force_square=_NAN, gradient_error=told)

    def samples(self, map: MapState, step: int) -> Ensemble:
        """The samples on which a step is computed, behind the frozen stages of `map`."""
        return self._samples.of_step(map, step)

    def validation_samples(self, map: MapState, step: int) -> Ensemble | None:
        """A second sample, which ends the solves of a step where it gains no more; None where the
        options ask for none."""
        return self._samples.held_out(map, step)

    @in_own_precision
    def system(
        self, map: MapState, ensemble: Ensemble, time: float | None = None
    ) -> NormalEquations:
        """Ĝη = −∇F of a map on given samples at a time, by default that of the start. Errors:
        `StepFailed` where the map folds or a value is not finite."""
        options, flow = self.options, self.problem.at(time)
        return assemble(
            map.active(), ensemble, flow, form=options.form, budget=options.budget,
            standing=self._standing, gradients=self._gradients,
        )  # fmt: skip

    @in_own_precision
    def advance(self, state: State[WarmStart], step_size: float) -> Trial[WarmStart]:
        begun: Velocity = state.entered
        first, repeated = self._for_step(state, begun, step_size)
        context: StepContext = first.context
        solver, stages = self.solver(state.map), [first]
        systems: list[NormalEquations] = []  # of the last stage

        def rhs(theta: Tensor, after: float) -> Tensor:
            map, time = state.map.moved(theta), state.time + after
            systems.clear()
            systems.append(self.system(map, context.ensemble, time))
            monitor = Monitor(self._validation(time, map, context.validation), measures=False)
            # From the η of the first, which is solved from 0. That of the stage before may be
            # anything within the tolerance along what hardly moves a sample, and would grow.
            stages.append(solver.solve(systems[0], stages[-1].memory, monitor, first.eta))
            return stages[-1].eta

        def norms(*vectors: Tensor) -> list[float]:
            if not systems:  # no stage has been computed yet
                systems.append(self.system(state.map, context.ensemble, state.time))
            return [square**0.5 for square in systems[0].gram.square_motions(*vectors)]

        warm = state.memory or WarmStart(None, None)
        theta, error, remembered = self.scheme.advance(
            rhs, state.theta, first.eta, step_size,
            norm=lambda eta: norms(eta)[0], memory=warm.scheme,
            estimate=self.options.tolerance is not None,
            resolvent=solver.resolvent(state.map, context.ensemble, self.problem.at(state.time))
            if self.scheme.implicit else None,
        )  # fmt: skip
        wrong, moved = None, 0.0
        if error is not None:
            relative = self.options.tolerance_unit is ToleranceUnit.DISPLACEMENT
            wrong, *further = norms(error, *[theta - state.theta] * relative)
            moved = sum(further)
        systems.clear()  # its linearisations are by far the largest thing in memory
        map, products, solves = state.map.moved(theta), 0, 0
        if self._centre is not None:
            map, products, solves = self._centre.restored(
                map, context.ensemble, solver.solver, stages[-1].memory, self._standing
            )
        # A preconditioner is made anew where it could not be made again from the step's number.
        left = None if context.ensemble.left_out else stages[-1].memory
        return Trial(
            map=map,
            error=wrong,
            memory=WarmStart(left, remembered),
            figures={
                **_figures(begun, stages[1:], repeated + products, solves),
                "seconds_drawing": self._samples.take_seconds(),
            },
            moved=moved,
        )

    @in_own_precision
    def evaluate(self, map: MapState, ensemble: Ensemble, time: float | None = None) -> Velocity:
        """η on given samples at a time, by default that of the start, by a solve that nothing
        precedes.

        Errors: `StepFailed` where the map folds, a value is not finite, or the solve fails.
        """
        solver = self.solver(map)
        return self._mask_undefined(solver.solve(self.system(map, ensemble, time), None, Monitor()))

    def state_dict(self, state: State[WarmStart]) -> dict[str, np.ndarray]:
        return state_dict(state.memory, self.scheme)

    def load_state_dict(self, arrays: Mapping[str, np.ndarray], map: MapState) -> WarmStart | None:
        solver = self.solver(map).solver
        return load_state_dict(
            arrays, self.scheme, solver, map.map, self.problem.at(),
            lambda step: self.samples(map, step),
        )  # fmt: skip


def _figures(
    begun: Velocity, stages: Sequence[Velocity], further_products: int, further_solves: int
) -> dict[str, float]:
    """Of a step that began with a velocity and computed those of further stages. Further products
    are those of the first velocity, where it was computed once more, and of further solves."""
    return {
        "energy_rate": begun.energy_rate,
        "projection_error": begun.projection_error,
        "products": begun.products + further_products + sum(stage.products for stage in stages),
        "solves": 1 + len(stages) + further_solves,
        "unconverged": (not begun.converged) + sum(not stage.converged for stage in stages),
        "residual": max(begun.residual, max((each.residual for each in stages), default=0.0)),
        "nonlinearity": begun.nonlinearity,
        "misfit": begun.context.misfit,
        "shift": begun.shift,
        "left_out": begun.context.ensemble.left_out,
    }
