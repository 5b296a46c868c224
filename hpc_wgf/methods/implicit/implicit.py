"""Implicit steps of the flow of a map: T_{k+1} by one or two proximal problems (see `scheme`)

    min_θ E|T_θ − Y|²/2τ + F(T_θ#λ),

each solved in the force form on the samples of the step. With the scheme `euler` this is the scheme
of Jordan, Kinderlehrer and Otto: E|x − S(x)|² over ρ_k is E_λ|T_k − T_θ|², so that maps need not be
composed. Stiffness does not bound the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...choices import Forward, ToleranceUnit
from ...columns import Column
from ...ensemble import Ensemble
from ...integrators import Controller
from ...maps import MapState
from ...parallel import tree_sum
from ...problems import Flow, SumOfEnergies
from ..base import Setting, State, Trial, start_frame
from ..pwgf import PWGF
from ..pwgf.velocity import Velocity
from ..step_samples import StepSamples
from .checks import check_options, concavity_warnings, stiffness_at_start
from .gauss_newton import GaussNewton, HeldOut, StageWork
from .options import ImplicitOptions
from .scheme import SCHEMES
from .stage import StageEquation, StagePoint

_FIRST_STEP = 0.5  # over the largest rate of contraction, where steps are controlled
_LEAST_SCALE = 1e-3  # of the start's spread, of which a movement is to be found to rtol


class Implicit:
    """The method on one problem, first map and set of ranks."""

    columns: Sequence[Column] = (
        # The energy's rates where steps begin tell nothing of what long steps dissipate.
        *[column for column in PWGF.columns if column.name in (
            "projection_error", "force_square", "seconds_drawing", "left_out",
        ) or column.key == "energy_rate"],
        Column("products", "step", "products with the curvature or the metric", integer=True),
        Column("solves", "step", "linear solves", integer=True),
        Column("raised", "step", "Gauss-Newton steps that were not taken", integer=True),
        Column("factorisations", "step", "preconditioners made or shifted", integer=True),
        Column("residual", "step", "largest true residual of a solve, over the right-hand side"),
    )  # fmt: skip

    def __init__(self, setting: Setting, options: ImplicitOptions) -> None:
        """Errors: `InputError` where the method cannot solve the problem."""
        self.setting, self.options, self.problem = setting, options, setting.problem
        check_options(self.problem, options)
        self._flow = PWGF(setting, options.of_flow)
        self._samples = StepSamples(setting, options, held_out=options.samples)
        self._scheme = SCHEMES[options.scheme]
        self._spread = float(start_frame(self.problem.start).deviations.norm())

    def start(self) -> State[None]:
        options = self.options
        map = MapState((), self.setting.map, self.setting.map.get_theta())
        step = options.step_size
        if options.tolerance is not None:
            step = min(step, _FIRST_STEP / max(1e-300, stiffness_at_start(self.problem)))
        return State(self.problem.start_time, map, 0, step)

    def controller(self) -> Controller:
        return self.options.controller(self._spread)

    def checks(self) -> Sequence[Callable[[], None]]:
        return self._flow.checks()

    def warnings(self) -> Sequence[str]:
        return concavity_warnings(self.problem, self._scheme.coefficient, self.options.step_size)

    def description(self) -> Mapping[str, Any]:
        return self._flow.description()

    def enter(self, state: State[None]) -> State[None]:
        ensemble, map = self._samples.of_step(state.map, state.step), state.map
        found = ensemble.where_unfolded(
            map.active(), lambda samples: self._flow.evaluate(map, samples, state.time)
        )
        return replace(state, entered=found)

    def velocity(self, state: State[None]) -> Tensor:
        eta: Tensor = state.entered.eta
        return eta

    def figures(self, state: State[None]) -> Mapping[str, float]:
        found: Velocity = state.entered
        return found.figures

    def advance(self, state: State[None], step_size: float) -> Trial[None]:
        begun: Velocity = state.entered
        ensemble, work = begun.context.ensemble, StageWork()
        start = [cloud.x for cloud in ensemble.push(state.map.active(), density=False, score=False)]
        points = self._stages(state, step_size, ensemble, start, work)
        error, moved = None, 0.0
        if self._scheme.error_order is not None and self.options.tolerance is not None:
            error = self._error(ensemble, start, points)
            if self.options.tolerance_unit is ToleranceUnit.DISPLACEMENT:
                moved = points[-1].moved
        return Trial(
            map=points[-1].map, error=error, memory=None, moved=moved,
            figures={
                "projection_error": begun.projection_error,
                "products": begun.products + work.products,
                "solves": 1 + work.iterations,
                "raised": work.raised,
                "factorisations": work.factorisations,
                "residual": max(begun.residual, work.residual),
                "left_out": ensemble.left_out,
                "seconds_drawing": self._samples.take_seconds(),
            },
        )  # fmt: skip

    def _stages(
        self, state: State[None], step_size: float, ensemble: Ensemble, start: Sequence[Tensor],
        work: StageWork,
    ) -> list[StagePoint]:  # fmt: skip
        """The stages of a step. Errors: `StepFailed`."""
        scheme, tau = self._scheme, self._scheme.coefficient * step_size
        linear = state.map.map.features_and_coordinates() is not None
        solver = GaussNewton(
            self._held_out(state), rtol=self.options.stage_rtol(linear=linear),
            most=self.options.max_iterations, least_scale=_LEAST_SCALE * self._spread, work=work,
            length=self.options.stage_length,
            reciprocal_condition=self._flow.reciprocal_condition,
        )  # fmt: skip
        forward = [self._forward(ensemble, start, state.time)]
        points: list[StagePoint] = []
        targets: list[list[Tensor]] = []
        for node in scheme.nodes:
            time = state.time + node * step_size
            targets.append(
                scheme.target(step_size, start, [point.x for point in points], targets,
                              [each for each in forward if each])
            )  # fmt: skip
            equation = StageEquation(
                ensemble, self._implicit(time), start, targets[-1], tau, self.options.budget
            )
            guess = points[-1].map if points else state.map
            # Without a name of its own, so that what was linearised is freed before the next stage.
            points.append(replace(solver.solve(equation, guess), jacobians=(), motions=()))
            if len(points) < len(scheme.nodes):
                forward.append(self._forward(ensemble, points[-1].x, time))
        return points

    def _held_out(self, state: State[None]) -> HeldOut | None:
        """Samples at which the map has not folded where the step begins."""
        if not self.problem.needs_density:
            return None
        drawn = self._samples.held_out(state.map, state.step)
        assert drawn is not None
        return HeldOut(drawn.unfolded(state.map.active()))

    def _implicit(self, time: float) -> Flow:
        """What is implicit of the flow at a time."""
        flow = self.problem.at(time)
        if self.options.forward is Forward.NONE or not flow.energy.interactions:
            return flow
        energy = flow.energy
        return replace(flow, energy=SumOfEnergies([*energy.of_position, *energy.of_density]))

    def _forward(self, ensemble: Ensemble, x: Sequence[Tensor], time: float) -> list[Tensor]:
        """The velocity that is taken forward at images x, for every chunk; empty where none is."""
        interactions = self.problem.at(time).energy.interactions
        if self.options.forward is Forward.NONE or not interactions:
            return []
        clouds = [replace(chunk, x=each) for chunk, each in zip(ensemble.chunks, x, strict=True)]
        return [-force.total for force in ensemble.forces(SumOfEnergies(interactions), clouds)]

    def _error(
        self, ensemble: Ensemble, start: Sequence[Tensor], points: Sequence[StagePoint]
    ) -> float:
        stage, end = points[0].x, points[-1].x
        parts = [
            ensemble.square(k, self._scheme.error(*each))
            for k, each in enumerate(zip(start, stage, end, strict=True))
        ]
        return float(ensemble.mean(torch.stack([tree_sum(parts)]))) ** 0.5

    def state_dict(self, state: State[None]) -> dict[str, np.ndarray]:
        return {}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray], map: MapState) -> None:
        return None
