"""Parameterised Wasserstein gradient flow: θ' = −Ĝ(θ)† ∇F(θ) [PWGF (3.18), (3.21)].

    Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images,
so that η = θ' is the least-squares solution of J η ≈ −f: the parameter velocity that moves the
samples most nearly as the flow would. With the same samples in Ĝ and ∇F the system is consistent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..integrators import TABLEAUX, Controller, runge_kutta_step
from ..interactions import Particles
from ..krylov import minres
from ..maps import Linearization, PushForward, flatten
from ..metric import GramOperator
from ..parallel import Communicator, Purpose, SampleBlocks, tree_sum
from ..problems import Cloud, LeafForce, Problem, jump_of
from .base import Measurement, Slope, State, StepFailed, StepResult
from .options import Form, PWGFOptions
from .sampling import Reference, Samples, Sampling

_NAN = float("nan")
_GRADIENT_CHUNK = 8192  # samples whose graph of log det ∇T is held at a time


@dataclass(frozen=True)
class _Context:
    """What the later stages of a step share with its first."""

    samples: Samples
    gram: GramOperator


@dataclass(frozen=True)
class _Pushed:
    """The images of one leaf, and where the map has not folded, (n,) bool."""

    cloud: Cloud
    positive: Tensor


@dataclass(frozen=True)
class _Leaf:
    """What one leaf of the samples contributes at θ. `sums`: (p + 1,) in float64, the descent
    direction −∇F and |f|², both summed over the samples; `counts`: see `_counts`."""

    force: Tensor
    jacobian: Linearization
    sums: Tensor
    counts: Tensor


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
        self.tableau = TABLEAUX[options.scheme]
        self._sampling = Sampling(
            problem.start, communicator, seed=options.seed, dtype=options.dtype
        )
        self._blocks = SampleBlocks.automatic(options.samples, options.block)
        self._parts = self._sampling.parts(lambda r: self._blocks.leaves(r, communicator.size))
        self.evaluation = self._sampling.evaluation(
            SampleBlocks.automatic(particles or options.samples),
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

    def slope(self, state: State) -> Slope:
        return self.evaluate(state.theta, self.samples(state.step))

    def samples(self, step: int) -> Samples:
        """This rank's samples on which a step is computed."""
        return self._sampling.draw(self._blocks, self._parts, Purpose.STEP, step)

    def step(self, state: State, slope: Slope, step_size: float) -> StepResult:
        context: _Context = slope.context
        stages: list[Slope] = []

        def rhs(theta: Tensor) -> Tensor:
            stages.append(self.evaluate(theta, context.samples))
            return stages[-1].eta

        theta, error = runge_kutta_step(rhs, state.theta, slope.eta, step_size, self.tableau)
        norm = None
        if error is not None and self.options.tolerance is not None:
            norm = context.gram.square_norm(error) ** 0.5
        return StepResult(
            theta,
            norm,
            products=sum(stage.products for stage in stages),
            solves=len(stages),
            unconverged=sum(not stage.converged for stage in stages),
            worst_residual=max((stage.residual for stage in stages), default=0.0),
        )

    def evaluate(self, theta: Tensor, samples: Samples) -> Slope:
        """η at θ on given samples.

        Errors: `StepFailed` where the map folds, a value is not finite, or MINRES fails.
        """
        self.map.set_theta(theta)
        n, references = samples.total, samples.leaves
        pushed = [self._push(reference) for reference in references]
        forces = self._forces(pushed, samples)
        leaves = [self._leaf(*parts) for parts in zip(references, pushed, forces, strict=True)]
        gram = GramOperator([leaf.jacobian for leaf in leaves], n, self.communicator)
        sums = self._reduce([leaf.sums for leaf in leaves], [leaf.counts for leaf in leaves])
        b = sums[:-1].to(theta.dtype).div_(n)
        eta, stats = minres(
            gram, b, rtol=self.options.rtol, max_steps=self.options.max_products,
            check_every=10 if b.is_cuda else 1,
        )  # fmt: skip
        if not stats.true_residual <= 1.0:
            raise StepFailed(
                f"MINRES ended with a residual of {stats.true_residual:.3g} ‖b‖, worse than none: "
                f"{stats.status} Raise method.rtol or method.samples."
            )
        residuals = [_least_squares(leaf.jacobian.jvp(eta), leaf.force) for leaf in leaves]
        moved, residual = (self.communicator.sum(tree_sum(residuals)) / n).tolist()
        return Slope(
            eta=eta,
            energy_rate=-moved,
            projection_error=_NAN if self._residual_means_nothing else residual,
            force_square=_NAN if self._residual_means_nothing else float(sums[-1]) / n,
            products=stats.products,
            residual=stats.true_residual,
            converged=stats.converged,
            context=_Context(samples, gram),
        )

    def _forces(
        self, pushed: Sequence[_Pushed], samples: Samples, *, values: bool = False
    ) -> list[LeafForce]:
        """f at the images; collective where particles interact."""
        clouds = [part.cloud for part in pushed]
        particles = Particles([cloud.x for cloud in clouds], samples.sizes, self.communicator)
        return self.problem.energy.forces(clouds, particles, values=values)

    def _leaf(self, reference: Reference, pushed: _Pushed, force: LeafForce) -> _Leaf:
        """The part of one leaf in ∇F and Ĝ at the map's present parameters."""
        total = force.total
        jacobian = self.map.linearize(reference.z)
        if self.options.form is Form.FORCE or force.density is None:
            descent = jacobian.vjp(total.neg())[0]
        else:
            descent = jacobian.vjp(force.position.neg())[0].sub_(self._energy_gradient(reference))
        squares = total.double().square().sum()
        sums = torch.cat([descent.double(), squares[None]])
        return _Leaf(total, jacobian, sums, self._counts(pushed, total))

    def measure(self, state: State, slope: Slope) -> Measurement:
        self.map.set_theta(state.theta)
        samples = self.evaluation.samples
        pushed = [self._push(reference, density=True) for reference in samples.leaves]
        forces = self._forces(pushed, samples, values=True)
        sums, counts = [], []
        for reference, part, force in zip(samples.leaves, pushed, forces, strict=True):
            assert force.value is not None
            moved = self.map.linearize(reference.z).jvp(slope.eta)
            folded = (~part.positive).sum().double()
            work = (force.position * moved).double().sum()
            values = force.value.double().sum()
            sums.append(torch.stack([values, _least_squares(moved, force.total)[1], work, folded]))
            counts.append(self._counts(part, torch.cat([force.total, force.value[:, None]], 1)))
        energy, error, work, folded = self._reduce(sums, counts).tolist()
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
        gradients = [self._energy_gradient(reference) for reference in samples.leaves]
        rates = [(gradient @ slope.eta).double()[None] for gradient in gradients]
        return seen.work + float(self.communicator.sum(tree_sum(rates))) / samples.total

    @torch.no_grad()
    def _push(self, reference: Reference, *, density: bool = False) -> _Pushed:
        """The cloud T(z), with density and score where the energy or `density` asks for them."""
        if not (density or self.problem.energy.needs_density):
            x = self.map(reference.z)
            unknown = torch.full_like(x, _NAN)
            positive = torch.ones_like(x[:, 0], dtype=torch.bool)
            return _Pushed(Cloud(x, unknown[:, 0], unknown), positive)
        score = reference.score if self.problem.energy.needs_density else None
        image = self.map.transport(reference.z, score)
        carried = torch.full_like(image.x, _NAN) if image.score is None else image.score
        cloud = Cloud(image.x, reference.log_density - image.log_det, carried)
        return _Pushed(cloud, image.positive)

    def _counts(self, pushed: _Pushed, values: Tensor) -> Tensor:
        """Samples of a leaf that make the step worthless: folded ones, where their density enters
        the energy, and those of positions or of values, (n, …), that are not finite."""
        folded = ~pushed.positive if self.problem.energy.needs_density else ~pushed.positive & False
        lost = ~torch.isfinite(pushed.cloud.x).all(1)
        broken = ~torch.isfinite(values).all(1)
        return torch.stack([folded.sum(), lost.sum(), broken.sum()])

    def _energy_gradient(self, reference: Reference) -> Tensor:
        """∇_θ of the sum of the density-dependent integrand over a leaf's samples, (p,)."""
        parts = [each.split(_GRADIENT_CHUNK) for each in (reference.z, reference.log_density)]
        total = reference.z.new_zeros(self.map.parameter_count())
        for z, log_density in zip(*parts, strict=True):
            with torch.enable_grad():
                x, log_det = self.map.forward_and_logdet(z)
                values = self.problem.energy.density_integrand(x, log_density - log_det)
                grads = torch.autograd.grad(
                    values.sum(), list(self.map.parameters()), materialize_grads=True
                )
            total += flatten(*grads)
        return total

    def _reduce(self, sums: list[Tensor], counts: list[Tensor]) -> Tensor:
        """Σ of the leaves' `sums` over all ranks, in one float64 all-reduce that also carries
        every rank's counts. Errors: `StepFailed` where samples have folded or are not finite."""
        size, rank = self.communicator.size, self.communicator.rank
        mine = tree_sum(sums)
        causes = (
            "the map has folded", "positions are not finite", "values are not finite"
        )  # fmt: skip
        placed = mine.new_zeros(len(causes), size)
        placed[:, rank] = tree_sum(counts).to(mine)
        total = self.communicator.sum(torch.cat([mine, placed.reshape(-1)]))
        per_rank = total[mine.numel() :].view(len(causes), size).tolist()
        for cause, numbers in zip(causes, per_rank, strict=True):
            bad = [f"{int(count)} samples of rank {r}" for r, count in enumerate(numbers) if count]
            if bad:
                raise StepFailed(f"{cause} at {', '.join(bad)}")
        return total[: mine.numel()]


def _least_squares(moved: Tensor, force: Tensor) -> Tensor:
    """(Σ|Jη|², Σ|Jη + f|²) over a leaf, (2,) in float64."""
    moved = moved.double()
    return torch.stack([moved.square().sum(), (moved + force.double()).square().sum()])
