"""What a sample costs a rank, in memory and in work: read off the solver's own objects, which are
made for a few samples and taken through one step."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from ..checks import VIRIAL_SAMPLES, check_virial
from ..choices import Form, Preconditioning
from ..cloud import Cloud
from ..diagnostics import Judge
from ..ensemble import energy_gradient
from ..errors import InputError
from ..methods.pwgf import PWGF
from ..methods.pwgf.solver import MetricSolver
from ..metric import Subsample, build, subsample_size
from ..profiling.tracing import Traced, held_bytes, traced
from .one_step import OneStep, one_step
from .partition import Job
from .simulated_rank import SimulatedRank
from .work import WorkPerSample, work_per_sample

_FEW, _MORE = 512, 1024  # samples of the two traces whose difference is that of a sample
_TRIED = 1024  # samples on which the check of the virial is traced
_PIECES = 4  # chunks of which a preconditioner is made on one rank


@dataclass(frozen=True)
class Sizes:
    """Bytes a sample.

    `reference`: z with density and score. `pushed`: its image with both. `forces`: by their parts;
    `force`: their sum where it is another tensor. `system`: images and forces that a system keeps.
    `seen_forces`: with values, `seen`: what a row shows, both of the evaluation sample.
    `linearised`: a linearisation that is kept. `buffers`: of products, in the longest chunk.
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
class TransientMemory:
    """Bytes that live only while a chunk is seen to: `few` for 512 samples, `more` for 1024."""

    few: float
    more: float

    def at(self, samples: int) -> float:
        """Along the straight line through both, and to 0 below them."""
        if samples <= _FEW:
            return self.few * samples / _FEW
        return self.more + (self.more - self.few) * (samples - _MORE) / (_MORE - _FEW)


@dataclass(frozen=True)
class PreconditionerCost:
    """A preconditioner: bytes that it keeps, and the most while it is made; bytes of its sums over
    ranks; floating-point operations."""

    kept: int
    passing: int
    reduced: tuple[int, ...]
    operations: float


@dataclass(frozen=True)
class Communication:
    """Bytes that a rank hands to the sums of a step, its products and preconditioners left out,
    and of a product. `growth`: of the former with every further rank. `exchanged`: bytes a sample
    that travel round the ring to every other rank."""

    step: tuple[int, ...]
    product: tuple[int, ...]
    growth: float
    exchanged: float


@dataclass(frozen=True)
class CostModel:
    """All that a plan knows of a job, for any number of samples and ranks. `pushing` a chunk, and
    `differentiating` its energy with respect to θ, take memory for a while."""

    sizes: Sizes
    pushing: TransientMemory
    differentiating: TransientMemory
    virial: float
    preconditioner: PreconditionerCost | None
    communication: Communication
    work: WorkPerSample
    parameters: int
    itemsize: int
    form: Form


def profile(job: Job) -> CostModel:
    """Errors: `InputError` for what a run would refuse; `RunError` where the step fails."""
    few, more, two = (one_step(job, *of) for of in ((_FEW, 1), (_MORE, 1), (_FEW, 2)))
    return CostModel(
        sizes=_sizes(more),
        pushing=TransientMemory(*(_pushing(more.runner, n) for n in (_FEW, _MORE))),
        differentiating=TransientMemory(*(_differentiating(more.runner, n) for n in (_FEW, _MORE))),
        virial=_virial(job),
        preconditioner=_prepared(more),
        communication=Communication(
            step=few.reduced,
            product=few.reduced_in_a_product,
            growth=sum(two.reduced) - sum(few.reduced),
            exchanged=two.exchanged / _FEW,
        ),
        work=work_per_sample(job, few, more),
        parameters=more.runner.setting.map.parameter_count(),
        itemsize=job.options.torch_dtype.itemsize,
        form=job.options.form,
    )


def _sizes(taken: OneStep) -> Sizes:
    runner, system, n = taken.runner, taken.system, taken.samples
    map, energy = runner.setting.map, runner.problem.energy
    ensemble, score = runner.setting.evaluation.ensemble, energy.needs_density
    pushed = ensemble.push(map, density=False, score=score)
    forces = ensemble.forces(energy, pushed)
    seen = ensemble.push(map, density=True, score=score)
    totals = [force.total for force in forces]
    linearizer = map.linearizer()
    z = torch.cat(ensemble.points)
    linearised = linearizer.linearize(z, budget=n * linearizer.bytes_per_sample)
    linearised.vjp(linearised.jvp(map.get_theta()))
    row = Judge(runner.problem, runner.setting.evaluation).look(runner.start().map)
    return Sizes(
        reference=held_bytes(ensemble.chunks) / n,
        pushed=held_bytes(pushed, beside=[ensemble.chunks]) / n,
        forces=held_bytes(forces, beside=[pushed]) / n,
        force=held_bytes(totals, beside=[forces]) / n,
        system=held_bytes(system.images, system.forces) / n,
        seen_forces=held_bytes(ensemble.forces(energy, seen, values=True), beside=[seen]) / n,
        seen=held_bytes(row.x, row.log_density) / n,
        linearised=linearizer.bytes_per_sample,
        buffers=linearizer.workspace.nbytes / n,
    )


def _pushing(runner: PWGF, samples: int) -> float:
    chunk = _chunk(runner, samples)
    score = chunk.score if runner.problem.energy.needs_density else None
    with torch.no_grad():
        return float(traced(lambda: runner.setting.map.transport(chunk.x, score)).peak)


def _differentiating(runner: PWGF, samples: int) -> float:
    if not runner.problem.energy.needs_density:
        return 0.0
    chunk = _chunk(runner, samples)
    map, energy = runner.setting.map, runner.problem.energy
    return float(traced(lambda: energy_gradient(map, energy, chunk)).peak)


def _chunk(runner: PWGF, samples: int) -> Cloud:
    """The first samples of the evaluation sample in one chunk."""
    chunks = runner.setting.evaluation.ensemble.chunks
    joined = (
        torch.cat([getattr(chunk, name) for chunk in chunks])[:samples]
        for name in ("x", "log_density", "score")
    )
    return Cloud(*joined)


def _virial(job: Job) -> float:
    """The most that the check of the start density takes."""
    if job.options.form is not Form.FORCE:
        return 0.0

    def check() -> None:
        with suppress(InputError):  # it is for the run to refuse, on the whole of its sample
            check_virial(job.problem, job.options.samples, _TRIED)

    return traced(check).peak * (VIRIAL_SAMPLES / _TRIED)


def _prepared(taken: OneStep) -> PreconditionerCost | None:
    """Made of the number of samples that a run takes, the same ones in every piece."""
    runner, on = taken.runner, SimulatedRank(1)
    solver = MetricSolver(runner.setting.map, runner.options, runner.reciprocal_condition)
    if solver.kind is Preconditioning.NONE:
        return None
    wanted = subsample_size(runner.setting.map)
    z = torch.cat(taken.system.points)[:_FEW]
    lengths = [-(-wanted // _PIECES)] * _PIECES
    sample = Subsample(runner.setting.map, dict.fromkeys(range(_PIECES), z), lengths, on)
    with Traced() as trace:
        built = build(sample, solver.kind, solver.first_shift())
        made = trace.peak
        model = built.model
        factors = model.shifted(solver.first_shift() * model.norm, runner.options.torch_dtype)
    kept = held_bytes(model, factors)
    return PreconditionerCost(
        kept, max(made, trace.peak) - kept, tuple(on.reduced), built.operations
    )
