"""What a sample costs a rank, in memory and in work: read off the solver's own objects, which are
made for a few samples and taken through one step."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields

import torch

from ..bench.tracing import Traced, held_bytes, traced
from ..checks import VIRIAL_SAMPLES, check_virial
from ..errors import InputError
from ..methods import PWGF, Form, Preconditioning
from ..methods.sampling import Reference
from ..methods.solver import MetricSolver
from ..metric import Subsample, build, wanted_samples
from .cut import Job
from .effort import Effort, effort_of
from .one_rank import OneOfMany
from .one_step import OneStep, one_step

_FEW, _MORE = 512, 1024  # samples of the two traces whose difference is that of a sample
_TRIED = 1024  # samples on which the check of the virial is traced
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
    """Bytes that live only while a leaf is seen to: `few` for 512 samples, `more` for 1024."""

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
class Anatomy:
    """All that a plan knows of a job, for any number of samples and ranks. `pushing` a leaf, and
    `differentiating` its energy with respect to θ, take memory for a while."""

    sizes: Sizes
    pushing: Passing
    differentiating: Passing
    virial: float
    prepared: Prepared | None
    traffic: Traffic
    effort: Effort
    parameters: int
    itemsize: int
    form: Form


def dissect(job: Job) -> Anatomy:
    """Errors: `InputError` for what a run would refuse; `RunError` where the step fails."""
    few, more, two = (one_step(job, *of) for of in ((_FEW, 1), (_MORE, 1), (_FEW, 2)))
    return Anatomy(
        sizes=_sizes(more),
        pushing=Passing(*(_pushing(more.runner, n) for n in (_FEW, _MORE))),
        differentiating=Passing(*(_differentiating(more.runner, n) for n in (_FEW, _MORE))),
        virial=_virial(job),
        prepared=_prepared(more),
        traffic=Traffic(
            step=few.reduced,
            product=few.reduced_in_a_product,
            growth=sum(two.reduced) - sum(few.reduced),
            exchanged=two.exchanged / _FEW,
        ),
        effort=effort_of(job, few, more),
        parameters=more.runner.map.parameter_count(),
        itemsize=job.options.dtype.itemsize,
        form=job.options.form,
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


def _pushing(runner: PWGF, samples: int) -> float:
    leaf = _leaf(runner, samples)
    score = leaf.score if runner.problem.energy.needs_density else None
    with torch.no_grad():
        return float(traced(lambda: runner.map.transport(leaf.z, score)).peak)


def _differentiating(runner: PWGF, samples: int) -> float:
    if not runner.problem.energy.needs_density:
        return 0.0
    leaf = _leaf(runner, samples)
    return float(traced(lambda: runner.assembly.energy_gradient(leaf)).peak)


def _leaf(runner: PWGF, samples: int) -> Reference:
    leaves = runner.evaluation.samples.leaves
    names = [field.name for field in fields(Reference)]
    joined = [torch.cat([getattr(leaf, name) for leaf in leaves]) for name in names]
    return Reference(*(values[:samples] for values in joined))


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
    solver = MetricSolver(runner.map, runner.options, on, runner.conditioning)
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
