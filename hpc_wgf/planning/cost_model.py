"""What a sample costs a rank in memory and in work.

The figures are measured: the objects of the solver are made for a few samples, taken through one
step, and traced.
"""

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

_FEW, _MORE = 512, 1024  # samples of two traces, from whose difference costs a sample follow
_TRIED = 1024  # samples on which the check of the virial is traced
_PIECES = 4  # chunks whose samples a preconditioner is made of, on one rank


@dataclass(frozen=True)
class Sizes:
    """Bytes a sample, by what they hold. Tensors that share memory count once."""

    reference: float
    """The sample z of the start density, with its log density and score."""
    pushed: float
    """Its image T(z), with log density and score there."""
    forces: float
    """The force f at the image, in its parts: of positions, and of the density."""
    force: float
    """The sum of these parts, where it is a tensor of its own."""
    system: float
    """Image and force as the system Ĝη = −∇F keeps them."""
    seen_forces: float
    """The force and the integrand of the energy at an image of the evaluation sample."""
    seen: float
    """What a stored row holds of the evaluation sample: position and log density."""
    linearised: float
    """The linearisation of the map, where it is kept for all products of a solve."""
    buffers: float
    """Buffers of a product with Ĝ, for each sample of the longest chunk."""


@dataclass(frozen=True)
class TransientMemory:
    """Bytes that are held only while one chunk of samples is computed."""

    few: float
    """Their peak for a chunk of 512 samples."""
    more: float
    """Their peak for a chunk of 1024 samples."""

    def at(self, samples: int) -> float:
        """The peak for a chunk of any length.

        It lies on the straight line through both, and is proportional to the length below 512.
        """
        if samples <= _FEW:
            return self.few * samples / _FEW
        return self.more + (self.more - self.few) * (samples - _MORE) / (_MORE - _FEW)


@dataclass(frozen=True)
class PreconditionerCost:
    """What a preconditioner costs a rank."""

    kept: int
    """Bytes that it keeps."""
    passing: int
    """Further bytes that are held, at most, while it is made."""
    reduced: tuple[int, ...]
    """Bytes of each sum over ranks that making it takes."""
    operations: float
    """Floating-point operations that making it takes."""


@dataclass(frozen=True)
class Communication:
    """Bytes that a rank hands to other ranks."""

    step: tuple[int, ...]
    """Bytes of each sum over ranks in a step and its measurement, without those of products and
    preconditioners."""
    product: tuple[int, ...]
    """Bytes of each sum over ranks in a product with Ĝ."""
    growth: float
    """Bytes by which the sums of a step together grow with every further rank."""
    exchanged: float
    """Bytes a sample and step that go round the ring of ranks, for each of the other ranks."""


@dataclass(frozen=True)
class CostModel:
    """What a job costs, from which plans for any number of samples and ranks follow."""

    sizes: Sizes
    """Memory of a sample."""
    pushing: TransientMemory
    """Memory while a chunk is pushed forward by the map."""
    differentiating: TransientMemory
    """Memory while the energy of a chunk is differentiated in θ; 0 if it ignores the density."""
    virial: float
    """Bytes that the check of the start density takes at most; 0 where there is none."""
    preconditioner: PreconditionerCost | None
    """Cost of a preconditioner; None where the solves use none."""
    communication: Communication
    """Traffic between ranks."""
    work: WorkPerSample
    """Work of a sample."""
    parameters: int
    """Number p of parameters."""
    itemsize: int
    """Bytes of a number in the precision of the run."""
    form: Form
    """The form in which the gradient of the energy is taken."""


def profile(job: Job) -> CostModel:
    """The cost model of a job, from steps on 512 and 1024 samples, and on 512 of each of two ranks.

    Errors: `InputError` for what a run would refuse, `RunError` where a step fails.
    """
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
    """Bytes of the tensors of a step, over its samples."""
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
    """Peak of the bytes held while a chunk of the evaluation sample is pushed forward."""
    chunk = _chunk(runner, samples)
    score = chunk.score if runner.problem.energy.needs_density else None
    with torch.no_grad():
        return float(traced(lambda: runner.setting.map.transport(chunk.x, score)).peak)


def _differentiating(runner: PWGF, samples: int) -> float:
    """Peak of the bytes held while the energy of a chunk is differentiated with respect to θ."""
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
    """Peak of the bytes held by the check of the start density."""
    if job.options.form is not Form.FORCE:
        return 0.0

    def check() -> None:
        with suppress(InputError):  # The run itself refuses, on the whole of its sample.
            check_virial(job.problem, job.options.samples, _TRIED)

    return traced(check).peak * (VIRIAL_SAMPLES / _TRIED)


def _prepared(taken: OneStep) -> PreconditionerCost | None:
    """Cost of a preconditioner, from one that is made of as many samples as in a run.

    There are fewer samples here: every piece of the subsample holds the same ones.
    """
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
