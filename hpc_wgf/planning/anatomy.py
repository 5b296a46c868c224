"""What a sample costs a rank, in memory and in work: read off the solver's own objects, which are
made for a few samples and taken through one step."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..bench.tracing import Traced, Work, held_bytes, traced
from ..checks import VIRIAL_SAMPLES, check_virial
from ..errors import InputError
from ..interactions import Route
from ..interactions.tiles import pair_sums
from ..methods import PWGF, Form, Preconditioning
from ..methods.solver import MetricSolver
from ..metric import Subsample, build, wanted_samples
from ..parallel import Purpose, SampleBlocks
from ..problems import Problem
from .cut import Job
from .one_rank import OneOfMany
from .one_step import OneStep, one_step

_FEW, _MORE = 512, 1024  # samples of the two traces whose difference is that of a sample
_TRIED = 1024  # samples on which the check of the virial is traced
_MOST_DRAWN = 1 << 14  # samples of a block whose drawing is timed
_PIECES = 4  # leaves of which a preconditioner is made on one rank


@dataclass(frozen=True)
class Sizes:
    """Bytes a sample.

    `reference`: z with density and score. `pushed`: its image with both. `forces`: by their parts;
    `force`: their sum where it is another tensor. `system`: images and forces that a system keeps.
    `seen_forces`: with values, `seen`: what a row shows, both of the evaluation sample.
    `linearised`: a linearisation that is kept. `buffers`: of products, in the longest leaf.
    """

    reference: float
    pushed: float
    forces: float
    force: float
    system: float
    seen_forces: float
    seen: float
    linearised: float
    buffers: float


@dataclass(frozen=True)
class Passing:
    """Bytes that live only while a leaf is pushed: `few` for 512 samples, `more` for 1024."""

    few: float
    more: float

    def at(self, samples: int) -> float:
        """Along the straight line through both, and to 0 below them."""
        if samples <= _FEW:
            return self.few * samples / _FEW
        return self.more + (self.more - self.few) * (samples - _MORE) / (_MORE - _FEW)


@dataclass(frozen=True)
class Prepared:
    """A preconditioner: bytes that it keeps, and the most while it is made; bytes of its sums over
    ranks; floating-point operations."""

    kept: int
    passing: int
    reduced: tuple[int, ...]
    operations: float


@dataclass(frozen=True)
class Traffic:
    """Bytes that a rank hands to the sums of a step, its products and preconditioners left out,
    and of a product. `growth`: of the former with every further rank. `exchanged`: bytes a sample
    that travel round the ring to every other rank."""

    step: tuple[int, ...]
    product: tuple[int, ...]
    growth: float
    exchanged: float


@dataclass(frozen=True)
class Effort:
    """Work a sample of a product, of filling a linearisation, of a step without its products and
    of its measurement; `pair`: of a pair of particles that interact, `pairs` of which are within
    the work of every solve of a step and of the measurement. `calls`: operations started a leaf, of
    a product and of a step. `solves` of a step. `drawing`: seconds a sample, as measured here."""

    product: Work
    filling: Work
    step: Work
    measurement: Work
    pair: Work
    pairs: float
    calls: tuple[float, float]
    solves: int
    drawing: float


@dataclass(frozen=True)
class Anatomy:
    """All that a plan knows of a job, for any number of samples and ranks."""

    sizes: Sizes
    passing: Passing
    virial: float
    prepared: Prepared | None
    traffic: Traffic
    effort: Effort
    parameters: int
    itemsize: int


def dissect(job: Job) -> Anatomy:
    """Errors: `InputError` for what a run would refuse; `RunError` where the step fails."""
    few, more, two = (one_step(job, *of) for of in ((_FEW, 1), (_MORE, 1), (_FEW, 2)))
    return Anatomy(
        sizes=_sizes(more),
        passing=Passing(*(_passing(more.runner, n) for n in (_FEW, _MORE))),
        virial=_virial(job),
        prepared=_prepared(more),
        traffic=Traffic(
            step=few.reduced,
            product=few.reduced_in_a_product,
            growth=sum(two.reduced) - sum(few.reduced),
            exchanged=two.exchanged / _FEW,
        ),
        effort=_effort(job, few, more),
        parameters=more.runner.map.parameter_count(),
        itemsize=job.options.dtype.itemsize,
    )


def _sizes(taken: OneStep) -> Sizes:
    runner, system, n = taken.runner, taken.system, taken.samples
    samples, assembly = runner.evaluation.samples, runner.assembly
    pushed = assembly.push(samples.leaves)
    forces = assembly.forces(pushed, samples)
    seen = assembly.push(samples.leaves, density=True)
    totals = [force.total for force in forces]
    linearizer = runner.map.linearizer()
    z = torch.cat([leaf.z for leaf in samples.leaves])
    linearised = linearizer.linearize(z, budget=n * linearizer.bytes_per_sample)
    linearised.vjp(linearised.jvp(runner.map.get_theta()))
    row = runner.measure(runner.start(), runner.slope(runner.start()))
    return Sizes(
        reference=held_bytes(samples) / n,
        pushed=held_bytes(pushed, beside=[samples]) / n,
        forces=held_bytes(forces, beside=[pushed]) / n,
        force=held_bytes(totals, beside=[forces]) / n,
        system=held_bytes(system.images, system.forces) / n,
        seen_forces=held_bytes(assembly.forces(seen, samples, values=True), beside=[seen]) / n,
        seen=held_bytes(row.x, row.log_density) / n,
        linearised=linearizer.bytes_per_sample,
        buffers=linearizer.workspace.nbytes / n,
    )


def _passing(runner: PWGF, samples: int) -> float:
    leaves = runner.evaluation.samples.leaves
    z, score = (torch.cat([getattr(leaf, name) for leaf in leaves]) for name in ("z", "score"))
    carried = score[:samples] if runner.problem.energy.needs_density else None
    with torch.no_grad():
        return float(traced(lambda: runner.map.transport(z[:samples], carried)).peak)


def _virial(job: Job) -> float:
    """The most that the check of the start density takes."""
    if job.options.form is not Form.FORCE:
        return 0.0

    def check() -> None:
        with suppress(InputError):  # it is for the run to refuse, on the whole of its sample
            check_virial(job.problem, job.options.samples, _TRIED)

    return traced(check).peak * (VIRIAL_SAMPLES / _TRIED)


def _prepared(taken: OneStep) -> Prepared | None:
    """Made of the number of samples that a run takes, the same ones in every piece."""
    runner, on = taken.runner, OneOfMany(1)
    solver = MetricSolver(runner.map, runner.options, on)
    if solver.kind is Preconditioning.NONE:
        return None
    wanted = wanted_samples(runner.map)
    z = torch.cat(taken.system.points)[:_FEW]
    lengths = [-(-wanted // _PIECES)] * _PIECES
    sample = Subsample(runner.map, dict.fromkeys(range(_PIECES), z), lengths, on)
    with Traced() as trace:
        built = build(sample, solver.kind, solver.first_shift())
        made = trace.peak
        known = built.known
        factors = known.shifted(solver.first_shift() * known.norm, runner.options.dtype)
    kept = held_bytes(known, factors)
    return Prepared(kept, max(made, trace.peak) - kept, tuple(on.reduced), built.operations)


def _effort(job: Job, few: OneStep, more: OneStep) -> Effort:
    def a_sample(of_few: Work, of_more: Work) -> Work:
        return replace((1.0 / (_MORE - _FEW)) * (of_more - of_few), calls=0.0)

    leaves = len(more.system.points)
    return Effort(
        product=a_sample(few.product, more.product),
        filling=a_sample(_filling(few), _filling(more)),
        step=a_sample(few.work, more.work),
        measurement=a_sample(few.measurement, more.measurement),
        pair=_pair(more),
        pairs=pairs_a_sample(job.problem, _MORE, _FEW),
        calls=(more.product.calls / leaves, (more.work + more.measurement).calls / leaves),
        solves=more.solves,
        drawing=_drawing(job),
    )


def _filling(taken: OneStep) -> Work:
    linearizer = taken.runner.map.linearizer()
    points = taken.system.points
    budget = taken.samples * linearizer.bytes_per_sample
    return traced(lambda: [linearizer.linearize(z, budget=budget) for z in points]).work


def pairs_a_sample(problem: Problem, samples: int, fewer: int | None = None) -> float:
    """Pairs that a particle is in, of one interaction, where they are summed one by one; with
    `fewer`, those that come with each sample more than so many."""
    found = 0.0
    for part in problem.energy.interactions:
        route = part.route_for(samples)
        if route is Route.PAIRS:
            found += samples if fewer is None else samples + fewer
        elif route is Route.BATCHES:
            found += part.batch
    return found


def meet(problem: Problem, samples: int) -> bool:
    """Whether particles travel round the ring of ranks."""
    return any(part.route_for(samples) is Route.PAIRS for part in problem.energy.interactions)


def _pair(taken: OneStep) -> Work:
    """The mean over the interactions."""
    parts = taken.runner.problem.energy.interactions
    x = torch.cat(list(taken.system.images))[:_FEW]
    work = Work()
    for part in parts:
        kernel = part.kernel
        work += traced(partial(pair_sums, kernel, x, x, same=True, potential=False)).work
    return replace((1.0 / (max(1, len(parts)) * _FEW**2)) * work, calls=0.0)


def _drawing(job: Job) -> float:
    """Seconds that the host takes for a sample, in blocks of the job's size."""
    options, start = job.options, job.problem.start
    size = min(_MOST_DRAWN, SampleBlocks.automatic(options.samples, options.block).size)
    blocks = SampleBlocks(max(size, _MORE), size)

    def draw() -> float:
        begun = time.perf_counter()
        z = blocks.draw(start.sample, range(blocks.count), seed=0, purpose=Purpose.CHECK)
        z.to(options.dtype)
        return time.perf_counter() - begun

    return min(draw() for _ in range(3)) / blocks.total
