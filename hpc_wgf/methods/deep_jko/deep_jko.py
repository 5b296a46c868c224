"""Deep JKO: ρ_{k+1} = T_k#ρ_k, T_k the flow of the velocity network that minimises the objective
of the step [DJKO, Algorithm 2] (see `objective`).

A step begins with the network of the step before. Its samples are carried along with log ρ, or
drawn anew and carried through all steps before [DJKO, Algorithm 1]. It trains in coordinates in
which samples and velocity are about 1, so that one rate of Adam serves every flow and every step
size; what it has found is frozen as a stage of the map, in the coordinates of the flow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ...columns import Column
from ...ensemble import Ensemble
from ...errors import StepFailed
from ...integrators import Controller
from ...maps import MapState, PushForward, VelocityFlow
from ...maps.velocity_networks import VelocityNetwork
from ...store import BEGINS_AT_REST
from ..base import Setting, State, Trial
from ..sample_checks import check_first_samples
from ..step_samples import StepSamples
from ..training import InnerLoop, engine_for, learning_rate, try_engine, unfinished_of
from ..training.inner_loop import Unfinished
from .checks import check_options, mobility_warnings
from .objective import Coordinates, StepFigures, StepObjective
from .options import DeepJKOOptions

_SLOWEST = 1e-4  # movement of a step over the spread: where nothing moves yet, it may begin
_MOST_OFF = 1e-2  # of log-determinants


class DeepJKO:
    """The method on one problem, first map and set of ranks."""

    columns: Sequence[Column] = (
        Column("objective", "step", "action over 2h and energy at the end of the step", "F"),
        Column("action", "step", "E of the integral of v P^-1 v", "x^2"),
        Column("gradient_left", "step", "norm of the objective's gradient after the training over "
               "that before"),
        Column("log_det_error", "step", "(E|l - l'|^2)^(1/2), l' with twice as many steps in tau"),
        Column("lost", "step", "samples at which the energy is no number", integer=True),
        Column("seconds_drawing", "step", "seconds to draw and carry samples", "s"),
    )  # fmt: skip

    def __init__(self, setting: Setting, options: DeepJKOOptions) -> None:
        """Errors: `InputError` where the method cannot solve the problem."""
        self.setting, self.options, self.problem = setting, options, setting.problem
        check_options(self.problem, options, setting.evaluation.ensemble.total)
        self._samples = StepSamples(setting, options, score=False)
        self._reached: tuple[Tensor, Tensor] | None = None
        sampler, map = setting.sampler, cast(VelocityFlow, setting.map)
        parts = sampler.parts(self._samples.blocks, map.chunk_size())
        try_engine(map.network, options, setting.communicator, [len(part) for part in parts])

    def start(self) -> State[Unfinished]:
        map = MapState((), self.setting.map, self.setting.map.get_theta())
        first = torch.zeros(1, dtype=torch.float64, device=map.theta.device)
        return State(self.problem.start_time, map, 0, self.options.step_size, kept=first)

    def controller(self) -> Controller:
        return self.options.controller()

    def checks(self) -> Sequence[Callable[[], None]]:
        state = self.start()
        samples = self.options.samples
        return [
            lambda: check_first_samples(
                self.problem, samples, state.map, self._samples.of_step(state.map, 0).chunks
            )
        ]

    def warnings(self) -> Sequence[str]:
        return mobility_warnings(self.problem, self.options)

    def description(self) -> Mapping[str, Any]:
        return {"velocity_network": self.options.velocity.value, BEGINS_AT_REST: True}

    def enter(self, state: State[Unfinished]) -> State[Unfinished]:
        return state

    def velocity(self, state: State[Unfinished]) -> Tensor | None:
        """Where a step ends: that along which v grows from 0 to what it is, over h. It moves the
        samples by what v does, over h, so that the projection error is what the step leaves of its
        equation v/h + P f = 0."""
        known = self._reached is not None and self._reached[0] is state.theta
        return self._reached[1] if known and self._reached is not None else None

    def figures(self, state: State[Unfinished]) -> Mapping[str, float]:
        return {}

    def next_map(self, state: State[Unfinished]) -> PushForward:
        map = copy.deepcopy(state.map.active())
        with torch.no_grad():
            for each in cast(VelocityFlow, map).network.outputs():
                each.zero_()
        return map

    def advance(self, state: State[Unfinished], step_size: float) -> Trial[Unfinished]:
        ensemble = self._samples.of_step(state.map, state.step)
        network, coordinates = self._begun(state, step_size, ensemble)
        objective = StepObjective(
            ensemble, self.problem.at(state.time + step_size), coordinates, size=step_size,
            network=network, flow_steps=self.options.flow_steps,
        )  # fmt: skip
        before = objective.gradient_norm()
        self._train(objective, network, step_size, state.memory)
        left = objective.gradient_norm() / before if before else 0.0
        found = objective.figures()
        self._check(found)
        network.change_coordinates(coordinates.centre, coordinates.scale, coordinates.speed)
        theta = torch.cat([each.detach().reshape(-1) for each in network.parameters()])
        self._reached = theta, _slope(network, step_size)
        assert state.kept is not None
        return Trial(
            map=state.map.moved(theta), error=None, memory=None,
            kept=torch.full_like(state.kept, step_size),
            figures={
                **found._asdict(),
                "gradient_left": left,
                "seconds_drawing": self._samples.take_seconds(),
            },
        )  # fmt: skip

    def _begun(
        self, state: State[Unfinished], step_size: float, ensemble: Ensemble
    ) -> tuple[VelocityNetwork, Coordinates]:
        """The network from which a step begins, in the coordinates of its training: that of the
        step before."""
        stages = state.map.stages
        last = cast(VelocityFlow, stages[-1].map if stages else state.map.active())
        network = copy.deepcopy(last.network).requires_grad_(True)
        x = [chunk.x.double() for chunk in ensemble.chunks]
        mean = ensemble.expectation(x)
        spread = ensemble.expectation([(each - mean).square().mean(1, keepdim=True) for each in x])
        scale = max(float(spread) ** 0.5, torch.finfo(torch.float64).tiny)
        end = state.time + step_size
        moved = self._last_movement(last, ensemble, state) if stages else self._first(ensemble, end)
        speed = max(_SLOWEST, step_size * moved / scale)
        centre = mean.to(ensemble.chunks[0].x)
        network.change_coordinates(-centre / scale, 1 / scale, 1 / speed)
        return network, Coordinates(centre, scale, speed)

    def _first(self, ensemble: Ensemble, end: float) -> float:
        """The root mean square of a coordinate of P f at samples of the start density, at the time
        at which the first step ends: about its velocity."""
        flow = self.problem.at(end)
        forces = ensemble.forces(flow.energy, ensemble.chunks)
        motions = ensemble.motions(flow, ensemble.chunks, forces)
        return _root_mean_square(ensemble, [each.opposite for each in motions])

    @torch.no_grad()
    def _last_movement(
        self, last: VelocityFlow, ensemble: Ensemble, state: State[Unfinished]
    ) -> float:
        """The same of v/h of the step before, where it has ended."""
        assert state.kept is not None
        ends = [last.network(1.0, chunk.x) for chunk in ensemble.chunks]
        return _root_mean_square(ensemble, ends) / float(state.kept)

    def _train(
        self, objective: StepObjective, network: VelocityNetwork, step_size: float,
        unfinished: Unfinished | None,
    ) -> None:  # fmt: skip
        """Errors: `StepFailed`, `StepUnfinished`."""
        options = self.options
        engine = engine_for(network, options, self.setting.communicator)

        def iterate(k: int) -> None:
            rate = learning_rate(options.decay, options.learning_rate, k, options.iterations)
            engine.step(objective.contributions(), rate)

        loop = InnerLoop(self.setting, {"velocity": engine}, step_size)
        try:
            loop.run(iterate, options.iterations, unfinished)
        finally:
            engine.close()

    def _check(self, found: StepFigures) -> None:
        """Errors: `StepFailed`."""
        if not found.log_det_error <= _MOST_OFF:
            raise StepFailed(
                f"log-determinants of the velocity's flow are off by {found.log_det_error:.2g} "
                f"with method.flow_steps = {self.options.flow_steps}: take more of these, or "
                "shorter steps"
            )
        if found.lost:
            raise StepFailed(
                f"the energy is not a number at {found.lost} of {self.options.samples} samples "
                "where the step ends, as where the density is above its limit"
            )

    def state_dict(self, state: State[Unfinished]) -> dict[str, np.ndarray]:
        return dict(state.memory or {})

    def load_state_dict(self, arrays: Mapping[str, np.ndarray], map: MapState) -> Unfinished | None:
        return unfinished_of(arrays)


def _slope(network: VelocityNetwork, step_size: float) -> Tensor:
    """dθ/dt where v grows in proportion to time from 0, over a step, to what it is, (p,)."""
    own = {id(each) for each in network.outputs()}
    return torch.cat([
        (each.detach() / step_size if id(each) in own else torch.zeros_like(each)).reshape(-1)
        for each in network.parameters()
    ])  # fmt: skip


def _root_mean_square(ensemble: Ensemble, values: Sequence[Tensor]) -> float:
    """Of a coordinate of `values`, (n_chunk, d) for every chunk. Collective."""
    squares = [each.double().square().mean(1, keepdim=True) for each in values]
    return float(ensemble.expectation(squares)) ** 0.5
