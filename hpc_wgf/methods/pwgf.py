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
from ..krylov import minres
from ..maps import Linearization, PushForward, flatten
from ..metric import GramOperator
from ..parallel import Communicator, Purpose, SampleBlocks, tree_sum
from ..problems import Cloud, Problem
from .base import Evaluation, Measurement, Reference, Slope, State, StepFailed, StepResult
from .options import Form, PWGFOptions


@dataclass(frozen=True)
class _Context:
    """What the later stages of a step share with its first."""

    leaves: Sequence[Reference]
    gram: GramOperator


@dataclass(frozen=True)
class _Leaf:
    """What one leaf of the samples contributes at θ. `sums`: (p + 1,) in float64, the descent
    direction −∇F and |f|², both summed over the samples; `counts`: folded, not finite."""

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
        self.map = copy.deepcopy(map).to(device=communicator.device, dtype=options.dtype)
        self.tableau = TABLEAUX[options.scheme]
        rank, ranks = communicator.rank, communicator.size
        self._blocks = SampleBlocks.automatic(options.samples, options.block)
        self._leaves = self._grouped(self._blocks.leaves(rank, ranks))
        self.evaluation = self._evaluation(
            SampleBlocks.automatic(particles or options.samples), shards or max(16, ranks)
        )

    def _evaluation(self, blocks: SampleBlocks, shards: int) -> Evaluation:
        mine = blocks.shards(shards, self.communicator.rank, self.communicator.size)
        groups = self._grouped(mine)
        leaves = [self._draw(blocks, group, Purpose.EVALUATION, 0) for group in groups]
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        return Evaluation(blocks, shards, span, leaves)

    def _grouped(self, parts: list[range]) -> list[range]:
        """On a GPU one leaf of all: small products would leave it idle."""
        on_gpu = self.communicator.device.type == "cuda"
        return [range(parts[0].start, parts[-1].stop)] if on_gpu else parts

    def start(self) -> State:
        return State(self.problem.start_time, self.map.get_theta(), 0, self.options.step_size)

    def controller(self) -> Controller:
        return self.options.controller()

    def _draw(self, blocks: SampleBlocks, part: range, purpose: Purpose, step: int) -> Reference:
        """The samples of some blocks, in the method's precision on the rank's device."""
        start = self.problem.start
        z = blocks.draw(start.sample, part, seed=self.options.seed, purpose=purpose, step=step).to(
            device=self.communicator.device, dtype=self.options.dtype
        )
        return Reference(z, start.log_density(z), start.score(z))

    def slope(self, state: State) -> Slope:
        return self.evaluate(state.theta, self.samples(state.step), self._blocks.total)

    def samples(self, step: int) -> list[Reference]:
        """This rank's leaves of the samples on which a step is computed."""
        return [self._draw(self._blocks, part, Purpose.STEP, step) for part in self._leaves]

    def step(self, state: State, slope: Slope, step_size: float) -> StepResult:
        context: _Context = slope.context
        stages: list[Slope] = []

        def rhs(theta: Tensor) -> Tensor:
            stages.append(self.evaluate(theta, context.leaves, self._blocks.total))
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

    def evaluate(self, theta: Tensor, samples: Sequence[Reference], n: int) -> Slope:
        """η at θ on this rank's leaves of n given samples.

        Errors: `StepFailed` where the map folds, a value is not finite, or MINRES fails.
        """
        self.map.set_theta(theta)
        leaves = [self._leaf(reference) for reference in samples]
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
            projection_error=residual,
            force_square=float(sums[-1]) / n,
            products=stats.products,
            residual=stats.true_residual,
            converged=stats.converged,
            context=_Context(samples, gram),
        )

    def _leaf(self, reference: Reference) -> _Leaf:
        """The part of one leaf in ∇F and Ĝ at the map's present parameters."""
        cloud, folded = self._push(reference)
        force = self.problem.energy.force(cloud)
        jacobian = self.map.linearize(reference.z)
        if self.options.form is Form.FORCE:
            descent = jacobian.vjp(force.neg())[0]
        else:
            descent = self._energy_gradient(reference).neg()
        broken = ~(torch.isfinite(cloud.x).all(1) & torch.isfinite(force).all(1))
        squares = force.double().square().sum()
        sums = torch.cat([descent.double(), squares[None]])
        return _Leaf(force, jacobian, sums, torch.stack([folded.sum(), broken.sum()]))

    def measure(self, state: State, slope: Slope) -> Measurement:
        self.map.set_theta(state.theta)
        images, sums, counts = [], [], []
        for reference in self.evaluation.leaves:
            cloud, folded = self._push(reference)
            force = self.problem.energy.force(cloud)
            values = self.problem.energy.integrand(cloud.x, cloud.log_density).detach().double()
            moved = self.map.linearize(reference.z).jvp(slope.eta)
            broken = ~(torch.isfinite(values) & torch.isfinite(force).all(1))
            images.append(cloud)
            sums.append(torch.stack([values.sum(), _least_squares(moved, force)[1]]))
            counts.append(torch.stack([folded.sum(), broken.sum()]))
        energy, error = (self._reduce(sums, counts) / self.evaluation.blocks.total).tolist()
        x = torch.cat([cloud.x for cloud in images])
        return Measurement(x, torch.cat([cloud.log_density for cloud in images]), energy, error)

    @torch.no_grad()
    def _push(self, reference: Reference) -> tuple[Cloud, Tensor]:
        """The cloud T(z) with density and score, and where the map has folded, (n,) bool."""
        image = self.map.transport(reference.z, reference.score)
        assert image.score is not None
        cloud = Cloud(image.x, reference.log_density - image.log_det, image.score)
        return cloud, ~image.positive

    def _energy_gradient(self, reference: Reference) -> Tensor:
        """∇_θ of the sum of the energy's integrand over a leaf's samples, (p,)."""
        with torch.enable_grad():
            x, log_det = self.map.forward_and_logdet(reference.z)
            values = self.problem.energy.integrand(x, reference.log_density - log_det)
            grads = torch.autograd.grad(
                values.sum(), list(self.map.parameters()), materialize_grads=True
            )
        return flatten(*grads)

    def _reduce(self, sums: list[Tensor], counts: list[Tensor]) -> Tensor:
        """Σ of the leaves' `sums` over all ranks, in one float64 all-reduce that also carries
        every rank's counts. Errors: `StepFailed` where samples have folded or are not finite."""
        size, rank = self.communicator.size, self.communicator.rank
        mine = tree_sum(sums)
        placed = mine.new_zeros(2, size)
        placed[:, rank] = tree_sum(counts).to(mine)
        total = self.communicator.sum(torch.cat([mine, placed.reshape(-1)]))
        causes = ("the map has folded", "values are not finite")
        per_rank = total[mine.numel() :].view(2, size).tolist()
        for cause, numbers in zip(causes, per_rank, strict=True):
            bad = [f"{int(count)} samples of rank {r}" for r, count in enumerate(numbers) if count]
            if bad:
                raise StepFailed(f"{cause} at {', '.join(bad)}")
        return total[: mine.numel()]


def _least_squares(moved: Tensor, force: Tensor) -> Tensor:
    """(Σ|Jη|², Σ|Jη + f|²) over a leaf, (2,) in float64."""
    moved = moved.double()
    return torch.stack([moved.square().sum(), (moved + force.double()).square().sum()])
