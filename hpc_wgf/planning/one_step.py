"""One step of PWGF on a few samples, with its work and communication traced."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..choices import Solver
from ..diagnostics import Judge, looks_between
from ..errors import RunError, StepFailed
from ..methods.pwgf import PWGF
from ..methods.pwgf.normal_equations import NormalEquations
from ..metric import JacobianRows
from ..profiling.tracing import Work, traced
from .partition import Job
from .simulated_rank import SimulatedRank

_PRODUCTS = 4  # products of a solve, at most
_SHORT = 1e-3  # step over that of the job, so that it is not too long for few samples
_PIECES = 4  # pieces of the evaluation sample, as many as the samples of a step have chunks


@dataclass(frozen=True)
class OneStep:
    """A step from a state to the velocity at the next state, in which no preconditioner is made."""

    runner: PWGF
    """The method."""
    system: NormalEquations
    """Ĝη = −∇F at the start of the step."""
    samples: int
    """Samples of this rank."""
    solves: int
    """Linear solves of the step."""
    work: Work
    """Work of the step without its products with Ĝ."""
    measurement: Work
    """Work of evaluating a state on the evaluation sample."""
    product: Work
    """Work of one product with Ĝ."""
    reduced: tuple[int, ...]
    """Bytes of each sum over ranks in the step without its products, and in the measurement."""
    reduced_in_a_product: tuple[int, ...]
    """Bytes of each sum over ranks in one product."""
    exchanged: int
    """Bytes sent to other ranks in the step and the measurement."""


def one_step(job: Job, samples: int, ranks: int) -> OneStep:
    """Take a job through one step on rank 0 of `ranks`, with `samples` on each of them.

    Errors: `RunError` where a step fails on so few samples.
    """
    on = SimulatedRank(ranks)
    runner = few_samples(job, samples, on)
    try:
        return _traced(job, runner, on, samples)
    except StepFailed as failure:
        raise RunError(f"a step on {samples} samples failed, and nothing is known of it: {failure}"
                       ) from failure  # fmt: skip


def few_samples(job: Job, samples: int, on: SimulatedRank) -> PWGF:
    """The method of a job on `samples` for each rank, with steps that are short enough for them."""
    options = replace(
        job.options, samples=samples * on.size, block=None, max_products=_PRODUCTS,
        step_size=_SHORT * job.options.step_size,
    )  # fmt: skip
    return PWGF.on(job.problem, job.map, options, on, particles=samples * on.size,
                   pieces=max(_PIECES, on.size))  # fmt: skip


def _traced(job: Job, runner: PWGF, on: SimulatedRank, samples: int) -> OneStep:
    """Trace a product, a step and a measurement in turn."""
    judge = Judge(runner.problem, runner.setting.evaluation)
    start = runner.enter(runner.start())
    system = runner.system(start.map, runner.samples(start.map, 1))
    product, product_sums = _product(runner, system, on)
    del on.reduced[:], on.exchanged[:]
    seen: dict[str, int] = {}

    def step() -> None:
        trial = runner.advance(start, start.step_size)
        after = replace(start, map=trial.map, step=1, memory=trial.memory)
        reached = runner.velocity_at(after)
        seen["products"] = int(trial.figures["products"]) + reached.products - first
        seen["solves"] = int(trial.figures["solves"])

    first = int(start.entered.products)
    work = traced(step).work
    velocity = runner.velocity(start)
    layout = job.layout(1)
    seen_between = layout.bound and looks_between(job.problem)

    def measure() -> None:
        judge.look(start.map, velocity)
        if seen_between:
            judge.residual(start.map, velocity)

    measurement = traced(measure).work
    return OneStep(
        runner, system, samples, seen["solves"],
        work=work - seen["products"] * product,
        measurement=measurement,
        product=product,
        reduced=_without(on.reduced, seen["products"] * product_sums),
        reduced_in_a_product=product_sums,
        exchanged=sum(on.exchanged),
    )  # fmt: skip


def _product(
    runner: PWGF, system: NormalEquations, on: SimulatedRank
) -> tuple[Work, tuple[int, ...]]:
    """Work of a product with Ĝ as the solver uses it, and bytes of each of its sums over ranks."""
    v = torch.ones_like(system.b)
    held = None
    map = runner.start().map
    if (second := runner.validation_samples(map, 0)) is not None:
        held = runner.system(map, second).gram
    rows = JacobianRows(system.gram.chunks, system.ensemble)

    def multiply() -> None:
        if runner.options.solver is Solver.LSMR:
            moved = rows.matvec(v)
            rows.norm(moved)
            rows.rmatvec(moved)
        else:
            system.gram.matvec(v)
        if held is not None:
            held.square_norm(v)

    multiply()  # Buffers are allocated the first time.
    before = len(on.reduced)
    work = traced(multiply).work
    return work, tuple(on.reduced[before:])


def _without(sums: list[int], others: tuple[int, ...]) -> tuple[int, ...]:
    """`sums` with one entry removed for each of `others` that is among them."""
    left = list(sums)
    for size in others:
        if size in left:
            left.remove(size)
    return tuple(left)
