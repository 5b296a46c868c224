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

from ..errors import InputError
from ..integrators import SCHEMES, Controller
from ..maps import PushForward
from ..metric import Preconditioning
from ..parallel import Communicator, Purpose, SampleBlocks, tree_sum
from ..problems import Problem, jump_of
from .base import Measurement, Slope, State, StepFailed, StepResult
from .carried import Carried, packed, unpacked
from .options import Form, PWGFOptions
from .sampling import Samples, Sampling
from .slopes import Context, Slopes, Watch
from .system import Assembly, System
from .units import conditioning

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
        self.map = copy.deepcopy(map).to(device=communicator.device, dtype=options.dtype)
        self.scheme = SCHEMES[options.scheme]
        if communicator.device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = options.tf32
        self.assembly = Assembly(problem, self.map, options, communicator)
        self.conditioning = conditioning(problem.start)
        self._slopes = Slopes(self.map, options, communicator, self.conditioning)
        self._sampling = Sampling(
            problem.start, communicator, seed=options.seed, dtype=options.dtype
        )
        self._blocks = SampleBlocks.automatic(options.samples, options.block)
        self._parts = self._sampling.parts(self._blocks, self.map.leaf_size())
        self._held_blocks = SampleBlocks.automatic(options.held_out, options.block)
        if options.holdout is not None:
            self._held_parts = self._sampling.parts(self._held_blocks, self.map.leaf_size())
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
        return self._slopes.preconditioner

    def slope(self, state: State) -> Slope:
        system = self.system(state.theta, self.samples(state.step))
        held_out = None if self.options.holdout is None else self.held_out(state.step)
        carried = state.memory or Carried(None, None)
        reach = self.scheme.first_stage(state.step_size, carried.scheme)
        watch = Watch(self._watching(held_out), reach)
        slope = self._slopes.tamed(system, carried.solver, watch)
        return self._without_meaningless(slope)

    def _watching(self, held_out: Samples | None) -> System | None:
        return None if held_out is None else self.assembly.system(held_out)

    def _for_step(self, state: State, slope: Slope, step_size: float) -> Slope:
        """The slope for a step shorter than was proposed, where that matters. Errors: `StepFailed`
        where the step is too long for any shift."""
        context: Context = slope.context
        shorter = step_size < 0.75 * state.step_size
        if shorter and (context.tamed or context.too_long):
            again = self.slope(replace(state, step_size=step_size))
            slope = replace(again, products=slope.products + again.products)
        if slope.context.too_long:
            raise StepFailed(
                f"η moves the samples by {slope.nonlinearity:.0%} otherwise than linearly, and "
                "damping it far enough would leave much of the force over"
            )
        return slope

    def _without_meaningless(self, slope: Slope) -> Slope:
        if not self._residual_means_nothing:
            return slope
        return replace(slope, projection_error=_NAN, force_square=_NAN)

    def samples(self, step: int) -> Samples:
        """This rank's samples on which a step is computed."""
        return self._sampling.draw(self._blocks, self._parts, Purpose.STEP, step)

    def held_out(self, step: int) -> Samples:
        """This rank's samples that watch the solves of a step."""
        return self._sampling.draw(self._held_blocks, self._held_parts, Purpose.HELD_OUT, step)

    def step(self, state: State, slope: Slope, step_size: float) -> StepResult:
        known = slope.products
        slope = self._for_step(state, slope, step_size)
        context: Context = slope.context
        stages: list[Slope] = [slope]
        systems: list[System] = []  # of the last stage

        def rhs(theta: Tensor) -> Tensor:
            systems.clear()
            systems.append(self.system(theta, context.samples))
            watch = Watch(self._watching(context.held_out))
            stages.append(self._slopes.solved(systems[0], stages[-1].memory, watch))
            return stages[-1].eta

        def norm(eta: Tensor) -> float:
            if not systems:  # no stage has been computed yet
                systems.append(self.system(state.theta, context.samples))
            return systems[0].gram.square_norm(eta) ** 0.5

        carried = state.memory or Carried(None, None)
        theta, error, remembered = self.scheme.advance(
            rhs, state.theta, slope.eta, step_size,
            norm=norm, estimate=self.options.tolerance is not None, memory=carried.scheme,
        )  # fmt: skip
        later = stages[1:]
        return StepResult(
            theta,
            None if error is None else norm(error),
            products=slope.products - known + sum(stage.products for stage in later),
            solves=len(later),
            unconverged=sum(not stage.converged for stage in later),
            worst_residual=max((stage.residual for stage in later), default=0.0),
            memory=Carried(stages[-1].memory, remembered),
        )

    def packed(self, state: State) -> dict[str, np.ndarray]:
        return packed(state.memory, self.scheme)

    def unpacked(self, arrays: Mapping[str, np.ndarray]) -> Any:
        return unpacked(arrays, self.scheme, self._slopes.solver, self.map, self.samples)

    def evaluate(self, theta: Tensor, samples: Samples) -> Slope:
        """η at θ on given samples, by a solve that nothing precedes.

        Errors: `StepFailed` where the map folds, a value is not finite, or the solve fails.
        """
        system = self.system(theta, samples)
        return self._without_meaningless(self._slopes.solved(system, None, Watch()))

    def system(self, theta: Tensor, samples: Samples) -> System:
        """Ĝη = −∇F at θ on given samples. Errors: `StepFailed` as for `evaluate`."""
        self.map.set_theta(theta)
        return self.assembly.system(samples)

    def measure(self, state: State, slope: Slope) -> Measurement:
        return self._measured(state.theta, slope.eta)

    def evaluate_map(self, theta: Tensor) -> Measurement:
        """The evaluation sample at θ, at rest: its projection error is E|f|². Errors: `StepFailed`
        where a value is not finite."""
        return self._measured(theta, torch.zeros_like(theta))

    def _measured(self, theta: Tensor, eta: Tensor) -> Measurement:
        self.map.set_theta(theta)
        samples = self.evaluation.samples
        pushed = self.assembly.push(samples.leaves, density=True)
        forces = self.assembly.forces(pushed, samples, values=True)
        linearizer = self.map.linearizer()
        sums, counts = [], []
        for reference, part, force in zip(samples.leaves, pushed, forces, strict=True):
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

    def measured_rate(self, state: State, slope: Slope, seen: Measurement) -> float:
        if not self.problem.energy.needs_density:
            return seen.work
        self.map.set_theta(state.theta)
        samples = self.evaluation.samples
        gradients = [self.assembly.energy_gradient(reference) for reference in samples.leaves]
        rates = [(gradient @ slope.eta).double()[None] for gradient in gradients]
        return seen.work + float(self.communicator.sum(tree_sum(rates))) / samples.total


def _square(values: Tensor) -> Tensor:
    """Σ|·|² in float64, 0-d."""
    return values.double().square().sum()
