"""Parameterised Wasserstein gradient flow: θ' = −Ĝ(θ)† ∇F(θ) [PWGF (3.18), (3.21)].

    Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images,
so that η = θ' is the least-squares solution of J η ≈ −f: the parameter velocity that moves the
samples most nearly as the flow would. With the same samples in Ĝ and ∇F the system is consistent.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..choices import Form, Preconditioning
from ..errors import InputError
from ..integrators import SCHEMES, Controller
from ..maps import PushForward
from ..parallel import Communicator, RandomStream, SampleBlocks, tree_sum
from ..problems import Problem, jump_of
from .base import Measurement, State, StepFailed, StepResult, Velocity
from .memory import WarmStart, load_state_dict, state_dict
from .options import PWGFOptions
from .sampling import Samples, Sampling
from .system import Assembly, NormalEquations
from .units import reciprocal_condition
from .velocity import Monitor, StepContext, VelocitySolver

_NAN = float("nan")


class PWGF:
    """The method on one problem, map and set of ranks."""

    def __init__(
        self,
        problem: Problem,
        map: PushForward,
        options: PWGFOptions,
        communicator: Communicator,
        *,
        particles: int | None = None,
        shards: int | None = None,
    ) -> None:
        """`particles`, `shards`: size of the evaluation sample and the most shards in which it
        is stored, by default as many samples as the method's in 16 shards."""
        if map.dimension != problem.dimension:
            raise InputError(
                f"the map acts in dimension {map.dimension} but the problem has dimension "
                f"{problem.dimension}"
            )
        self.problem, self.options, self.communicator = problem, options, communicator
        # E|f|² and δ have no meaning where the force misses a jump, or has no variance.
        self._residual_means_nothing = self._at_a_jump() or not all(
            part.kernel.force_has_variance(problem.dimension)
            for part in problem.energy.interactions
        )
        self.map = copy.deepcopy(map).to(device=communicator.device, dtype=options.torch_dtype)
        self.scheme = SCHEMES[options.scheme]
        if communicator.device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = options.tf32
        self.assembly = Assembly(problem, self.map, options, communicator)
        self.reciprocal_condition = reciprocal_condition(problem.start)
        self._velocities = VelocitySolver(
            self.map, options, communicator, self.reciprocal_condition
        )
        self._sampling = Sampling(
            problem.start, communicator, seed=options.seed, dtype=options.torch_dtype
        )
        self._blocks = SampleBlocks.automatic(options.samples, options.block)
        self._parts = self._sampling.parts(self._blocks, self.map.chunk_size())
        self._validation_blocks = SampleBlocks.automatic(options.validation_samples, options.block)
        if options.validation is not None:
            self._validation_parts = self._sampling.parts(
                self._validation_blocks, self.map.chunk_size()
            )
        self.evaluation = self._sampling.evaluation(
            SampleBlocks.automatic(particles or options.samples, options.block),
            shards or max(16, communicator.size),
        )

    def _at_a_jump(self) -> bool:
        """Whether the force misses what happens at a jump of the start density; InputError where
        the method would rely on it."""
        jump = jump_of(self.problem.start)
        if jump is None or not self.problem.energy.needs_density:
            return False
        if self.options.form is Form.FORCE:
            raise InputError(
                f"{jump}, and there the force of a density-dependent energy is concentrated where "
                "no sample sits: the force form would not move it. Smooth the jump (a box: "
                'ramp = 0.1, say), or use method.form = "energy"'
            )
        return True

    def start(self) -> State:
        return State(self.problem.start_time, self.map.get_theta(), 0, self.options.step_size)

    def controller(self) -> Controller:
        return self.options.controller()

    @property
    def preconditioner(self) -> Preconditioning:
        """The kind that the solves use."""
        return self._velocities.preconditioner

    def velocity(self, state: State) -> Velocity:
        system = self.system(state.theta, self.samples(state.step))
        validation = (
            None if self.options.validation is None else self.validation_samples(state.step)
        )
        carried = state.memory or WarmStart(None, None)
        probe_step = self.scheme.first_stage(state.step_size, carried.scheme)
        monitor = Monitor(self._watching(validation), probe_step)
        velocity = self._velocities.damped_velocity(system, carried.solver, monitor)
        return self._mask_undefined(velocity)

    def _watching(self, validation: Samples | None) -> NormalEquations | None:
        return None if validation is None else self.assembly.system(validation)

    def _for_step(self, state: State, velocity: Velocity, step_size: float) -> Velocity:
        """The velocity for a step shorter than was proposed, where that matters. Errors:
        `StepFailed` where the step is too long for any shift."""
        context: StepContext = velocity.context
        shorter = step_size < 0.75 * state.step_size
        if shorter and (context.damped or context.too_long):
            again = self.velocity(replace(state, step_size=step_size))
            velocity = replace(again, products=velocity.products + again.products)
        if velocity.context.too_long:
            raise StepFailed(
                f"η moves the samples by {velocity.nonlinearity:.0%} otherwise than linearly, and "
                "damping it far enough would leave much of the force over"
            )
        return velocity

    def _mask_undefined(self, velocity: Velocity) -> Velocity:
        if not self._residual_means_nothing:
            return velocity
        return replace(velocity, projection_error=_NAN, force_square=_NAN)

    def samples(self, step: int) -> Samples:
        """This rank's samples on which a step is computed."""
        return self._sampling.draw(self._blocks, self._parts, RandomStream.STEP, step)

    def validation_samples(self, step: int) -> Samples:
        """This rank's validation samples of a step: they end its solves where these gain no
        more."""
        return self._sampling.draw(
            self._validation_blocks, self._validation_parts, RandomStream.VALIDATION, step
        )

    def step(self, state: State, velocity: Velocity, step_size: float) -> StepResult:
        known = velocity.products
        velocity = self._for_step(state, velocity, step_size)
        context: StepContext = velocity.context
        stages: list[Velocity] = [velocity]
        systems: list[NormalEquations] = []  # of the last stage

        def rhs(theta: Tensor) -> Tensor:
            systems.clear()
            systems.append(self.system(theta, context.samples))
            monitor = Monitor(self._watching(context.validation))
            stages.append(self._velocities.solve(systems[0], stages[-1].memory, monitor))
            return stages[-1].eta

        def norm(eta: Tensor) -> float:
            if not systems:  # no stage has been computed yet
                systems.append(self.system(state.theta, context.samples))
            return systems[0].gram.square_norm(eta) ** 0.5

        carried = state.memory or WarmStart(None, None)
        theta, error, remembered = self.scheme.advance(
            rhs, state.theta, velocity.eta, step_size,
            norm=norm, estimate=self.options.tolerance is not None, memory=carried.scheme,
        )  # fmt: skip
        later = stages[1:]
        return StepResult(
            theta,
            None if error is None else norm(error),
            products=velocity.products - known + sum(stage.products for stage in later),
            solves=len(later),
            unconverged=sum(not stage.converged for stage in later),
            worst_residual=max((stage.residual for stage in later), default=0.0),
            memory=WarmStart(stages[-1].memory, remembered),
        )

    def state_dict(self, state: State) -> dict[str, np.ndarray]:
        return state_dict(state.memory, self.scheme)

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> Any:
        return load_state_dict(arrays, self.scheme, self._velocities.solver, self.map, self.samples)

    def evaluate(self, theta: Tensor, samples: Samples) -> Velocity:
        """η at θ on given samples, by a solve that nothing precedes.

        Errors: `StepFailed` where the map folds, a value is not finite, or the solve fails.
        """
        system = self.system(theta, samples)
        return self._mask_undefined(self._velocities.solve(system, None, Monitor()))

    def system(self, theta: Tensor, samples: Samples) -> NormalEquations:
        """Ĝη = −∇F at θ on given samples. Errors: `StepFailed` as for `evaluate`."""
        self.map.set_theta(theta)
        return self.assembly.system(samples)

    def measure(self, state: State, velocity: Velocity) -> Measurement:
        return self._measured(state.theta, velocity.eta)

    def evaluate_map(self, theta: Tensor) -> Measurement:
        """The evaluation sample at θ, at rest: its projection error is E|f|². Errors: `StepFailed`
        where a value is not finite."""
        return self._measured(theta, torch.zeros_like(theta))

    def _measured(self, theta: Tensor, eta: Tensor) -> Measurement:
        self.map.set_theta(theta)
        samples = self.evaluation.samples
        pushed = self.assembly.push(samples.chunks, density=True)
        forces = self.assembly.forces(pushed, samples, values=True)
        linearizer = self.map.linearizer()
        sums, counts = [], []
        for reference, part, force in zip(samples.chunks, pushed, forces, strict=True):
            assert force.value is not None
            moved = linearizer.linearize(reference.z, budget=0).jvp(eta)  # used once
            folded = (~part.positive).sum().double()
            work = (force.position * moved).double().sum()
            values = force.value.double().sum()
            sums.append(torch.stack([values, _square(moved + force.total), work, folded]))
            counts.append(
                self.assembly.counts(part, torch.cat([force.total, force.value[:, None]], 1))
            )
        energy, error, work, folded = self.assembly.reduce(sums, counts).tolist()
        x = torch.cat([part.cloud.x for part in pushed])
        log_density = torch.cat([part.cloud.log_density for part in pushed])
        positive = torch.cat([part.positive for part in pushed])
        return Measurement(
            x,
            torch.where(positive, log_density, _NAN),
            energy / samples.total,
            _NAN if self._residual_means_nothing else error / samples.total,
            int(folded),
            work / samples.total,
        )

    def measured_rate(self, state: State, velocity: Velocity, seen: Measurement) -> float:
        if not self.problem.energy.needs_density:
            return seen.work
        self.map.set_theta(state.theta)
        samples = self.evaluation.samples
        gradients = [self.assembly.energy_gradient(reference) for reference in samples.chunks]
        rates = [(gradient @ velocity.eta).double()[None] for gradient in gradients]
        return seen.work + float(self.communicator.sum(tree_sum(rates))) / samples.total


def _square(values: Tensor) -> Tensor:
    """Σ|·|² in float64, 0-d."""
    return values.double().square().sum()
