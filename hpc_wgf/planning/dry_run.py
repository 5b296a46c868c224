"""One step of one rank of a job, executed on a process group whose other ranks do not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..methods.base import State
from ..observers import Snapshot, StepRecord
from ..output import Output
from ..profiling.machine import peak_mebibytes
from .devices import Device
from .partition import Job
from .seconds import Counts
from .simulated_rank import fake_group


@dataclass(frozen=True)
class Ran:
    """What the first step of rank 0 took."""

    ranks: int
    """Ranks of the job."""
    samples: int
    """Samples of this rank in a step."""
    on_gpu: bool
    """Whether it was executed on a GPU."""
    memory: float
    """Bytes: the peak of the process, or on a GPU what is taken of its memory in the end."""
    seconds: float
    """Seconds of the step."""
    counts: Counts
    """Products of a solve and preconditioners of the step."""


class _FirstStep:
    """An observer that keeps the first accepted step."""

    step: StepRecord | None = None
    """The step; None before it is accepted."""

    def on_row(self, row: Snapshot) -> None:
        return

    def on_step(self, step: StepRecord) -> None:
        self.step = self.step or step

    def on_stop(self, state: State[Any], memory: Mapping[str, np.ndarray], seconds: float) -> None:
        return

    def on_end(self) -> None:
        return


def dry_run(job: Job, ranks: int, device: Device, solve: Callable[..., object]) -> Ran:
    """Execute `hpc_wgf.solve` to the end of its first step, as rank 0 of `ranks`.

    It runs on a GPU if `device` is one and this machine has one. See `SimulatedRank` for what its
    sums over ranks are. The peak of memory is that of the whole process, in which nothing else
    should have run. Errors: those of `solve`.
    """
    on_gpu = device.is_gpu and torch.cuda.is_available()
    problem = job.problem
    problem = problem.replace(until=min(problem.until, problem.start_time + job.options.step_size))
    output = Output(None, problem.until - problem.start_time, job.output.particles,
                    job.output.shards)  # fmt: skip
    seen = _FirstStep()
    # Pilots would take the sums of a simulated rank for numbers of a run.
    options = replace(job.options, accuracy=None)
    with fake_group(ranks, "cuda" if on_gpu else "cpu") as rank:
        solve(
            problem, job.map, options, output, communicator=rank, observers=[seen],
            memory_check=False,  # The other ranks, which take nothing here, would be counted.
        )  # fmt: skip
    assert seen.step is not None
    partition = job.partition(ranks, torch.device("cuda" if on_gpu else "cpu"))
    return Ran(
        ranks=ranks,
        samples=partition.step.samples,
        on_gpu=on_gpu,
        memory=_taken_on_gpu() if on_gpu else peak_mebibytes() * 2**20,
        seconds=seen.step.figures["seconds"],
        counts=Counts(seen.step.products_per_solve, 1.0),
    )


def _taken_on_gpu() -> float:
    free, total = torch.cuda.mem_get_info()
    return float(total - free)
