"""What a sample costs a rank in memory.

The figures are measured: the objects of the solver are made for a few samples and traced.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from ..checks import VIRIAL_SAMPLES, check_virial
from ..choices import Form, Preconditioning
from ..cloud import Cloud
from ..diagnostics import Judge, estimate_bytes
from ..ensemble import energy_gradient
from ..errors import InputError
from ..methods.pwgf import PWGF
from ..methods.pwgf.normal_equations import NormalEquations
from ..methods.pwgf.solver import MetricSolver
from ..metric import Subsample, build, subsample_size
from ..profiling.tracing import Traced, held_bytes, traced
from .partition import Job
from .simulated_rank import SimulatedRank

FEW, MORE = 512, 1024
"""Samples of two traces, from whose difference costs a sample follow."""
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
    """P f − b, with mobility and drift, where these are tensors of their own; of f its sum."""
    system: float
    """Image, force and mobility as the system Ĝη = −∇F keeps them."""
    seen_forces: float
    """Force, mobility, drift and the integrand of the energy at an image of the evaluation
    sample."""
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
        if samples <= FEW:
            return self.few * samples / FEW
        return self.more + (self.more - self.few) * (samples - MORE) / (MORE - FEW)


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
class MemoryModel:
    """The memory of a job, from which that of any number of samples and ranks follows."""

    sizes: Sizes
    """Memory of a sample."""
    pushing: TransientMemory
    """Memory while a chunk is pushed forward by the map."""
    differentiating: TransientMemory
    """Memory while the energy of a chunk is differentiated in θ; 0 if it ignores the density."""
    virial: float
    """Bytes that the check of the start density takes at most; 0 where there is none."""
    estimate: float
    """Bytes that the estimate of the error takes; 0 where there is none."""
    preconditioner: PreconditionerCost | None
    """Cost of a preconditioner; None where the solves use none."""
    parameters: int
    """Number p of parameters."""
    itemsize: int
    """Bytes of a number in the precision of the run."""
    form: Form
    """The form in which the gradient of the energy is taken."""


def memory_model(job: Job, runner: PWGF, system: NormalEquations) -> MemoryModel:
    """The memory of a job, from its method bound to 1024 samples on one rank, and the system of a
    step on them."""
    return MemoryModel(
        sizes=_sizes(runner, system),
        pushing=TransientMemory(*(_pushing(runner, n) for n in (FEW, MORE))),
        differentiating=TransientMemory(*(_differentiating(runner, n) for n in (FEW, MORE))),
        virial=_virial(job),
        estimate=_estimate(job),
        preconditioner=_prepared(runner, system, job.options.samples),
        parameters=runner.setting.map.parameter_count(),
        itemsize=job.options.torch_dtype.itemsize,
        form=job.options.form,
    )


def _sizes(runner: PWGF, system: NormalEquations) -> Sizes:
    """Bytes of the tensors of a step, over its samples."""
    n = system.total
    map, energy, flow = runner.setting.map, runner.problem.energy, runner.problem.at()
    ensemble, score = runner.setting.evaluation.ensemble, energy.needs_density
    pushed = ensemble.push(map, density=flow.needs_density, score=score)
    forces = ensemble.forces(energy, pushed)
    seen = ensemble.push(map, density=True, score=score)
    motions = ensemble.motions(flow, pushed, forces)
    valued = ensemble.forces(energy, seen, values=True)
    linearizer = map.linearizer()
    z = torch.cat(ensemble.points)
    linearised = linearizer.linearize(z, budget=n * linearizer.bytes_per_sample)
    linearised.vjp(linearised.jvp(map.get_theta()))
    row = Judge(runner.problem, runner.setting.evaluation).look(runner.start().map)
    return Sizes(
        reference=held_bytes(ensemble.chunks) / n,
        pushed=held_bytes(pushed, beside=[ensemble.chunks]) / n,
        forces=held_bytes(forces, beside=[pushed]) / n,
        force=held_bytes(motions, beside=[forces]) / n,
        system=held_bytes(system.images, system.motions) / n,
        seen_forces=held_bytes(ensemble.motions(flow, seen, valued), beside=[seen]) / n,
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


def _estimate(job: Job) -> float:
    """Bytes that the estimate of the error takes."""
    layout = job.layout(1)
    return float(estimate_bytes(job.problem, layout.particles)) if layout.bound else 0.0


def _prepared(runner: PWGF, system: NormalEquations, samples: int) -> PreconditionerCost | None:
    """Cost of a preconditioner, from one that is made of as many samples as in a run of n
    `samples`.

    There are fewer samples here: every piece of the subsample holds the same ones.
    """
    on = SimulatedRank(1)
    solver = MetricSolver(runner.setting.map, runner.options, runner.reciprocal_condition)
    coupled = runner.problem.couples_coordinates
    direct = runner.options.solves_directly(runner.setting.map, coupled=coupled)
    if direct or solver.kind is Preconditioning.NONE:
        return None
    wanted = subsample_size(runner.setting.map, runner.preconditioner, samples)
    z = torch.cat(system.points)[:FEW]
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
