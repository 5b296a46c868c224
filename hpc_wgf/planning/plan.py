"""The plan of a job: a row for every number of ranks, and the largest n that fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .cost_model import CostModel, profile
from .devices import Device
from .memory import Phase, budget, kept_share, peak
from .partition import Job, Partition
from .seconds import Counts, Nodes, reduced_in_a_step, seconds_of_step

_MOST_SAMPLES = 1 << 44


@dataclass(frozen=True)
class Line:
    """One number of ranks. Bytes are those of the rank that has most; seconds and all-reduces
    those of a step; `efficiency`: seconds of one rank over P times these."""

    ranks: int
    samples: int
    memory: float
    memory_dominated_by: str
    fits: bool
    bytes_per_product: float
    bytes_per_step: float
    all_reduces: float
    products: float
    seconds: float
    efficiency: float
    seconds_by_part: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """What `hpc-wgf plan` shows. `largest_samples`: n that fits the memory of all its ranks."""

    problem: str
    device: str
    parameters: int
    samples: int
    preconditioner: bool
    counts: Counts
    lines: list[Line]
    memory_of_a_rank: int
    held: Mapping[str, float]
    phase: str
    largest_samples: int

    def as_rows(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


class Planner:
    """Plans one job on one device; `per_node`: ranks of a node."""

    def __init__(self, job: Job, device: Device, per_node: int) -> None:
        self.job, self.device, self.per_node = job, device, per_node
        self.cost_model: CostModel = profile(job)
        self._limit = budget(job, device)
        self._available = device.memory_of_a_rank(per_node)

    def plan(self, ranks: int, counts: Counts) -> Plan:
        """For 1, 2, 4, … and `ranks` ranks. Errors: `InputError` where these are more than there
        are sample blocks."""
        numbers = [1 << k for k in range(ranks.bit_length())]
        numbers = numbers if numbers[-1] == ranks else [*numbers, ranks]
        lines: list[Line] = []
        for number in numbers:
            lines.append(self._line(number, counts, lines[0].seconds if lines else None))
        phase = self.memory(ranks, counts)
        return Plan(
            problem=self.job.problem.name,
            device=self.device.name,
            parameters=self.cost_model.parameters,
            samples=self.job.options.samples,
            preconditioner=self.cost_model.preconditioner is not None,
            counts=counts,
            lines=lines,
            memory_of_a_rank=self._available,
            held=phase.held,
            phase=phase.name,
            largest_samples=self.largest_samples(ranks, counts),
        )

    def memory(self, ranks: int, counts: Counts) -> Phase:
        """The part of a step in which a rank holds most."""
        return self._peak(self._partition(self.job, ranks), counts)

    def largest_samples(self, ranks: int, counts: Counts) -> int:
        """The largest n, to three digits, whose every rank fits; 0 where no n does."""

        def fits(samples: int) -> bool:
            partition = self._partition(self.job.of_samples(samples), ranks)
            return self._peak(partition, counts).total <= self._available

        options = self.job.options
        # Blocks for all, also of a second sample that is smaller.
        low = math.ceil((options.block or 32) * ranks / min(1.0, options.validation or 1.0))
        if not fits(low):
            return 0
        while low < _MOST_SAMPLES and fits(2 * low):
            low *= 2
        step = low // 2
        while step > low // 1000:
            low += step if fits(low + step) else 0
            step //= 2
        return low

    def seconds(self, ranks: int, counts: Counts) -> Mapping[str, float]:
        """Of a step, by what they are for."""
        return self._seconds(self._partition(self.job, ranks), ranks, counts)

    def _line(self, ranks: int, counts: Counts, alone: float | None) -> Line:
        partition = self._partition(self.job, ranks)
        phase, parts = self._peak(partition, counts), self._seconds(partition, ranks, counts)
        seconds = sum(parts.values())
        sums = reduced_in_a_step(self.cost_model, counts, ranks)
        return Line(
            ranks=ranks,
            samples=partition.step.samples,
            memory=phase.total,
            memory_dominated_by=phase.largest,
            fits=phase.total <= self._available,
            bytes_per_product=float(sum(self.cost_model.communication.product)),
            bytes_per_step=sum(size * often for size, often in sums),
            all_reduces=sum(often for _, often in sums),
            products=counts.products_per_solve * self.cost_model.work.solves,
            seconds=seconds,
            efficiency=(seconds if alone is None else alone / ranks) / seconds,
            seconds_by_part=parts,
        )

    def _seconds(self, partition: Partition, ranks: int, counts: Counts) -> Mapping[str, float]:
        share = kept_share(self.cost_model, partition, self._limit)
        nodes = Nodes(ranks, self.per_node)
        return seconds_of_step(
            self.cost_model, partition, self.job, self.device, counts, nodes, share
        )

    def _peak(self, partition: Partition, counts: Counts) -> Phase:
        return peak(self.cost_model, partition, self.device, self._limit, counts.preconditioners)

    def _partition(self, job: Job, ranks: int) -> Partition:
        return job.partition(ranks, self.device.torch_device)
