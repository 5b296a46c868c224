"""One step of one rank of a job of many, executed on a fake process group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..methods.base import State
from ..observers import Snapshot, StepRecord
from ..output import Output
from ..profiling.machine import peak_mebibytes
from ..solution import solve
from .devices import Device
from .partition import Job
from .seconds import Counts
from .simulated_rank import fake_group


@dataclass(frozen=True)
class Ran:
    """What a step took: `memory` the peak of the process in bytes, on a GPU what is taken of its
    memory; `seconds` and `counts` of the step; `steps` until the first was accepted."""

    ranks: int
    samples: int
    on_gpu: bool
    memory: float
    seconds: float
    counts: Counts


class _FirstStep:
    """Observer that keeps the step."""

    step: StepRecord | None = None

    def on_row(self, row: Snapshot) -> None:
        return

    def on_step(self, step: StepRecord) -> None:
        self.step = self.step or step

    def on_stop(self, state: State[Any], memory: Mapping[str, np.ndarray], seconds: float) -> None:
        return

    def on_end(self) -> None:
        return


def dry_run(job: Job, ranks: int, device: Device) -> Ran:
    """`solve` until the end of its first step, as rank 0 of `ranks` (see `SimulatedRank` for what
    its sums then are), on a GPU if `device` is one and there is one here.

    The peak is that of the whole process: nothing else should have run in it. Errors: those of
    `solve`.
    """
    on_gpu = device.is_gpu and torch.cuda.is_available()
    problem = job.problem
    problem = problem.replace(until=min(problem.until, problem.start_time + job.options.step_size))
    output = Output(None, problem.until - problem.start_time, job.output.particles,
                    job.output.shards)  # fmt: skip
    seen = _FirstStep()
    with fake_group(ranks, "cuda" if on_gpu else "cpu") as rank:
        solve(problem, job.map, job.options, output, communicator=rank, observers=[seen])
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
