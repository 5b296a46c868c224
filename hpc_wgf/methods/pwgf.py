"""Parameterised Wasserstein gradient flow: θ' = −Ĝ(θ)† ∇F(θ) [PWGF (3.18), (3.21)].

    Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images,
so that η = θ' is the least-squares solution of J η ≈ −f: the parameter velocity that moves the
samples most nearly as the flow would. With the same samples in Ĝ and ∇F the system is consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from ..errors import InputError
from ..integrators import TABLEAUX, Controller, FixedStep, PIController, runge_kutta_step
from ..krylov import minres
from ..maps import PushForward, flatten
from ..metric import GramOperator
from ..parallel import Communicator, Purpose, SampleBlocks
from ..problems import Cloud, Problem
from .base import Evaluation, Measurement, Reference, Slope, State, StepFailed, StepResult


class Form(StrEnum):
    """`force`: ∇F = Jᵀf/n. `energy`: ∇F differentiates the sample mean of the energy; the two
    agree only in expectation, and only the first is in the range of Ĝ."""

    FORCE = "force"
    ENERGY = "energy"


@dataclass(frozen=True)
class PWGFOptions:
    """How PWGF is run.

    `samples`: n, of all ranks together. `rtol`: MINRES stops at ‖r‖ ≤ rtol ‖b‖. `scheme`: a key
    of `TABLEAUX`. `step_size`: of a fixed step, or the first of an adaptive run. `tolerance`:
    largest error of a step, as root mean squared movement of the samples in units of x; None
    for a fixed step. `block`: samples per block, None for automatic.
    """

    samples: int = 4000
    rtol: float = 1e-5
    scheme: str = "heun"
    step_size: float = 0.05
    tolerance: float | None = None
    form: Form = Form.FORCE
    max_products: int = 2000
    dtype: torch.dtype = torch.float64
    seed: int = 0
    block: int | None = None

    def __post_init__(self) -> None:
        if self.scheme not in TABLEAUX:
            raise InputError(f"scheme {self.scheme!r} is not known: {', '.join(TABLEAUX)}")
        if not self.step_size > 0:
            raise InputError(f"the step size must be positive, got {self.step_size}")
        if self.tolerance is not None and TABLEAUX[self.scheme].error is None:
            with_error = [name for name, t in TABLEAUX.items() if t.error is not None]
            raise InputError(
                f"scheme {self.scheme!r} has no error estimate to hold to a tolerance: use one of "
                f"{', '.join(with_error)}, or leave method.tolerance out"
            )
        if self.rtol < 10 * torch.finfo(self.dtype).eps:
            raise InputError(
                f"rtol = {self.rtol:g} is below what {self.dtype} can resolve "
                f"({10 * torch.finfo(self.dtype).eps:.1e}): raise method.rtol or use float64"
            )

    def controller(self) -> Controller:
        """The step-size controller that the tolerance asks for."""
        if self.tolerance is None:
            return FixedStep()
        return PIController(self.tolerance, TABLEAUX[self.scheme].order)


@dataclass(frozen=True)
class _Context:
    """What the later stages of a step share with its first."""

    reference: Reference
    gram: GramOperator


class PWGF:
    """The method on one problem, map and set of ranks."""

    def __init__(
        self,
        problem: Problem,
        map: PushForward,
        options: PWGFOptions,
        communicator: Communicator,
        evaluation: SampleBlocks | None = None,
    ) -> None:
        if map.dimension != problem.dimension:
            raise InputError(
                f"the map acts in dimension {map.dimension} but the problem has dimension "
                f"{problem.dimension}"
            )
        self.problem, self.options, self.communicator = problem, options, communicator
        self.map = map.to(device=communicator.device, dtype=options.dtype)
        self.tableau = TABLEAUX[options.scheme]
        self.blocks = SampleBlocks.automatic(options.samples, options.block)
        self._owned = self.blocks.owned(communicator.rank, communicator.size)
        shown = evaluation or self.blocks
        owned = shown.owned(communicator.rank, communicator.size, "units of stored particles")
        reference = self._draw(shown, owned, Purpose.EVALUATION, 0)
        self.evaluation = Evaluation(shown, owned, reference)

    def start(self) -> State:
        return State(self.problem.start_time, self.map.get_theta(), 0, self.options.step_size)

    def controller(self) -> Controller:
        return self.options.controller()

    def _draw(self, blocks: SampleBlocks, owned: range, purpose: Purpose, step: int) -> Reference:
        z = blocks.draw(
            self.problem.start.sample, owned, seed=self.options.seed, purpose=purpose, step=step
        ).to(device=self.communicator.device, dtype=self.options.dtype)
        start = self.problem.start
        return Reference(z, start.log_density(z), start.score(z), blocks.total)

    def slope(self, state: State) -> Slope:
        samples = self._draw(self.blocks, self._owned, Purpose.STEP, state.step)
        return self.evaluate(state.theta, samples)

    def step(self, state: State, slope: Slope, step_size: float) -> StepResult:
        context: _Context = slope.context
        stages: list[Slope] = []

        def rhs(theta: Tensor) -> Tensor:
            stages.append(self.evaluate(theta, context.reference))
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
            worst_residual=max((stage.residual for stage in stages), default=0.0),
        )

    def evaluate(self, theta: Tensor, reference: Reference) -> Slope:
        """η at θ on given samples. Errors: `StepFailed` where the map folds or is not finite."""
        n = reference.total
        cloud, folded = self.push(theta, reference)
        force = self.problem.energy.force(cloud)
        jacobian = self.map.linearize(reference.z)
        gram = GramOperator(jacobian, n, self.communicator)
        if self.options.form is Form.FORCE:
            descent = jacobian.vjp(force.neg())[0]
        else:
            descent = -self._energy_gradient(reference)
        finite = torch.isfinite(cloud.x).all(1) & torch.isfinite(force).all(1)
        squares = force.double().square().sum()
        b, force_square = self._reduce([descent, squares], folded, ~finite)
        b = b.to(descent.dtype)
        eta, stats = minres(
            gram, b.div_(n), rtol=self.options.rtol, max_steps=self.options.max_products,
            check_every=10 if b.is_cuda else 1,
        )  # fmt: skip
        if not stats.true_residual <= 1.0:
            raise StepFailed(
                f"MINRES ended with a residual of {stats.true_residual:.3g} ‖b‖, worse than none: "
                f"{stats.status} Raise method.rtol or method.samples."
            )
        moved = jacobian.jvp(eta).double()
        sums = torch.stack([moved.square().sum(), (moved + force.double()).square().sum()])
        rate, residual_square = (self.communicator.sum(sums) / n).tolist()
        return Slope(
            eta=eta,
            energy_rate=-rate,
            projection_error=residual_square,
            force_square=float(force_square) / n,
            products=stats.products,
            residual=stats.true_residual,
            converged=stats.converged,
            context=_Context(reference, gram),
        )

    def measure(self, state: State, slope: Slope) -> Measurement:
        reference = self.evaluation.reference
        cloud, folded = self.push(state.theta, reference)
        force = self.problem.energy.force(cloud)
        values = self.problem.energy.integrand(cloud.x, cloud.log_density).detach()
        moved = self.map.linearize(reference.z).jvp(slope.eta)
        broken = ~(torch.isfinite(values) & torch.isfinite(force).all(1))
        error = (moved + force).double().square().sum()
        total, error_square = self._reduce([values.double().sum(), error], folded, broken)
        n = reference.total
        return Measurement(cloud.x, cloud.log_density, float(total) / n, float(error_square) / n)

    @torch.no_grad()
    def push(self, theta: Tensor, reference: Reference) -> tuple[Cloud, Tensor]:
        """The cloud T_θ(z) with density and score, and where the map has folded, (n,) bool."""
        self.map.set_theta(theta)
        image = self.map.transport(reference.z, reference.score)
        assert image.score is not None
        cloud = Cloud(image.x, reference.log_density - image.log_det, image.score)
        return cloud, ~image.positive

    def _energy_gradient(self, reference: Reference) -> Tensor:
        """∇_θ of the sum of the energy's integrand over this rank's samples, (p,)."""
        with torch.enable_grad():
            x, log_det = self.map.forward_and_logdet(reference.z)
            values = self.problem.energy.integrand(x, reference.log_density - log_det)
            grads = torch.autograd.grad(
                values.sum(), list(self.map.parameters()), materialize_grads=True
            )
        return flatten(*grads)

    def _reduce(self, parts: list[Tensor], folded: Tensor, broken: Tensor) -> tuple[Tensor, ...]:
        """Sums of the parts over the ranks, in one float64 all-reduce that also carries every
        rank's counts of folded and not finite samples. Errors: `StepFailed` if there are any."""
        size, rank = self.communicator.size, self.communicator.rank
        counts = torch.zeros(2, size, dtype=torch.float64, device=folded.device)
        counts[0, rank], counts[1, rank] = folded.sum(), broken.sum()
        flat = [part.double().reshape(-1) for part in (*parts, counts)]
        summed = self.communicator.sum(torch.cat(flat)).split([part.numel() for part in flat])
        causes = ("the map has folded", "values are not finite")
        for cause, per_rank in zip(causes, summed[-1].view(2, size).tolist(), strict=True):
            bad = {r: int(count) for r, count in enumerate(per_rank) if count}
            if bad:
                where = ", ".join(f"{count} samples of rank {r}" for r, count in bad.items())
                raise StepFailed(f"{cause} at {where}")
        return summed[:-1]
