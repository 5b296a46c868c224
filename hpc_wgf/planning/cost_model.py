"""What a sample costs a rank in memory, in work and in communication, as measured on a few."""

from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import told_bytes
from .memory_model import FEW, MORE, MemoryModel, memory_model
from .one_step import one_step
from .partition import Job
from .work import WorkPerSample, work_per_sample


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
class CostModel(MemoryModel):
    """What a job costs, from which plans for any number of samples and ranks follow."""

    communication: Communication
    """Traffic between ranks."""
    work: WorkPerSample
    """Work of a sample."""


def profile(job: Job) -> CostModel:
    """The cost model of a job, from steps on 512 and 1024 samples, and on 512 of each of two ranks.

    Errors: `InputError` for what a run would refuse, `RunError` where a step fails.
    """
    few, more, two = (one_step(job, *of) for of in ((FEW, 1), (MORE, 1), (FEW, 2)))
    memory = memory_model(job, more.runner, more.system)
    return CostModel(
        **vars(memory),
        communication=Communication(
            step=(*few.reduced, *_told(job)),
            product=few.reduced_in_a_product,
            growth=sum(two.reduced) - sum(few.reduced),
            exchanged=two.exchanged / FEW,
        ),
        work=work_per_sample(job, few, more),
    )


def _told(job: Job) -> tuple[int, ...]:
    """Bytes of the sum by which ranks share the estimate of the error."""
    layout = job.layout(1)
    told = told_bytes(job.problem, layout.particles) if layout.bound else 0
    return (told,) if told else ()
