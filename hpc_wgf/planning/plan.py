"""The plan of a job: a line for every number of ranks, and the largest n that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .cost_model import CostModel, profile
from .devices import Device
from .memory import Phase, kept_share
from .partition import Job, Partition
from .room import Room
from .seconds import Counts, Nodes, reduced_in_a_step, seconds_of_stage, seconds_of_step


@dataclass(frozen=True)
class Line:
    """The plan for one number of ranks. Figures are those of the rank that has most samples."""

    ranks: int
    """Number P of ranks."""
    samples: int
    """Samples of the rank in a step."""
    memory: float
    """The most bytes that it holds at a time."""
    memory_dominated_by: str
    """What takes most of them."""
    fits: bool
    """Whether they fit in the memory of a rank."""
    bytes_per_product: float
    """Bytes that it hands to sums over ranks in a product with Ĝ."""
    bytes_per_step: float
    """Bytes that it hands to sums over ranks in a step, products included."""
    all_reduces: float
    """Sums over ranks in a step."""
    products: float
    """Products with Ĝ in a step."""
    seconds: float
    """Seconds of a step."""
    efficiency: float
    """Seconds of one rank over P times the seconds of P ranks; where each has as many samples, over
    the seconds of P ranks."""
    seconds_by_part: Mapping[str, float]
    """Seconds of a step by what they are spent on."""


@dataclass(frozen=True)
class Plan:
    """What `hpc-wgf plan` shows."""

    problem: str
    """Name of the problem."""
    device: str
    """Name of the device."""
    parameters: int
    """Number p of parameters."""
    samples: int
    """Number n of samples in a step, of all ranks together."""
    weak: bool
    """Whether n is that of all ranks of the job, and fewer ranks have as many samples each."""
    preconditioner: bool
    """Whether the solves use a preconditioner."""
    counts: Counts
    """Products and preconditioners that are assumed."""
    lines: list[Line]
    """The plan for 1, 2, 4, … ranks and at last for all ranks of the job."""
    memory_of_a_rank: int
    """Bytes that a rank has."""
    held: Mapping[str, float]
    """Bytes that a rank of the whole job holds in `phase`, by what they are for."""
    phase: str
    """The part of a step in which a rank holds most."""
    seconds_of_stage: float
    """Seconds on all ranks of the job that a frozen stage of the map adds wherever samples are
    drawn: to every step, or where they are redrawn for every stage, to its first one."""
    largest_samples: int
    """The largest n with which every rank of the job stays within its memory."""

    def as_rows(self) -> dict[str, Any]:
        """The plan as dictionaries and lists, which JSON can hold."""
        return asdict(self)


class Planner(Room):
    """Plans one job on ranks with one kind of device each, `per_node` of them on a node."""

    def __init__(self, job: Job, device: Device, per_node: int) -> None:
        self.per_node = per_node
        self.cost_model: CostModel = profile(job)
        super().__init__(job, device, device.memory_of_a_rank(per_node), self.cost_model)

    def memory(self, ranks: int, counts: Counts) -> Phase:
        """The part of a step in which a rank holds most, with what it holds."""
        return self.peak(self.partition(self.job, ranks), counts.preconditioners)

    def plan(self, ranks: int, counts: Counts, *, weak: bool = False) -> Plan:
        """The plan of the job on `ranks` ranks, beside those on 1, 2, 4, … fewer: of the same n, or
        where it is `weak` of as many samples a rank.

        Errors: `InputError` where there are more ranks than sample blocks.
        """
        numbers = [1 << k for k in range(ranks.bit_length())]
        numbers = numbers if numbers[-1] == ranks else [*numbers, ranks]
        lines: list[Line] = []
        for number in numbers:
            job = self.job
            if weak:
                job = job.of_samples(max(1, job.options.samples * number // ranks))
            line = self._line(job, number, counts)
            if lines:
                shared = 1 if weak else number
                line = replace(line, efficiency=lines[0].seconds / shared / line.seconds)
            lines.append(line)
        phase = self.memory(ranks, counts)
        return Plan(
            problem=self.job.problem.name,
            device=self.device.name,
            parameters=self.cost_model.parameters,
            samples=self.job.options.samples,
            weak=weak,
            preconditioner=self.cost_model.preconditioner is not None,
            counts=counts,
            lines=lines,
            memory_of_a_rank=self.available,
            held=phase.held,
            phase=phase.name,
            seconds_of_stage=seconds_of_stage(
                self.cost_model, self.partition(self.job, ranks), self.job, self.device
            ),
            largest_samples=self.largest_samples(ranks, counts.preconditioners),
        )

    def seconds(self, ranks: int, counts: Counts) -> Mapping[str, float]:
        """Seconds of a step, by what they are spent on."""
        return self._seconds(self.job, self.partition(self.job, ranks), ranks, counts)

    def _line(self, job: Job, ranks: int, counts: Counts) -> Line:
        """That of the only number of ranks."""
        partition = self.partition(job, ranks)
        phase = self.peak(partition, counts.preconditioners)
        parts = self._seconds(job, partition, ranks, counts)
        sums = reduced_in_a_step(self.cost_model, counts, ranks)
        return Line(
            ranks=ranks,
            samples=partition.step.samples,
            memory=phase.total,
            memory_dominated_by=phase.largest,
            fits=phase.total <= self.available,
            bytes_per_product=float(sum(self.cost_model.communication.product)),
            bytes_per_step=sum(size * often for size, often in sums),
            all_reduces=sum(often for _, often in sums),
            products=counts.products_per_solve * self.cost_model.work.solves,
            seconds=sum(parts.values()),
            efficiency=1.0,
            seconds_by_part=parts,
        )

    def _seconds(
        self, job: Job, partition: Partition, ranks: int, counts: Counts
    ) -> Mapping[str, float]:
        share = kept_share(self.cost_model, partition, self.limit)
        nodes = Nodes(ranks, self.per_node)
        return seconds_of_step(self.cost_model, partition, job, self.device, counts, nodes, share)
