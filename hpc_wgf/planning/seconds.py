"""Seconds of a step of one rank: its work over the rates of a device, and its communication."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..profiling.tracing import Work
from .cost_model import CostModel
from .devices import Device, Link
from .partition import Job, Partition
from .work import meet, pairs_a_sample


@dataclass(frozen=True)
class Counts:
    """What depends on the problem and is known only from runs."""

    products_per_solve: float
    """Products with Ĝ in a linear solve."""
    preconditioners: float
    """Preconditioners made in a step, on average."""


@dataclass(frozen=True)
class Nodes:
    """The ranks of a job and the nodes that they are on."""

    ranks: int
    """Number P of ranks of the job."""
    per_node: int
    """Ranks of a node."""


def reduced_in_a_step(
    cost_model: CostModel, counts: Counts, ranks: int
) -> list[tuple[float, float]]:
    """Every sum over ranks in a step: its bytes, and how often it is taken on average; without the
    three of some bytes by which ranks see, for every row, how far it is on its way to the disk and
    what its parts have taken."""
    communication, solves = cost_model.communication, cost_model.work.solves
    growth = communication.growth * (ranks - 1) / max(1, len(communication.step))
    sums = [(size + growth, 1.0) for size in communication.step]
    sums += [(float(size), counts.products_per_solve * solves) for size in communication.product]
    if cost_model.preconditioner is not None:
        sums += [
            (float(size), counts.preconditioners) for size in cost_model.preconditioner.reduced
        ]
    return sums


def seconds_of_step(
    cost_model: CostModel,
    partition: Partition,
    job: Job,
    device: Device,
    counts: Counts,
    nodes: Nodes,
    kept_share: float,
) -> Mapping[str, float]:
    """Seconds of a step, by what they are spent on.

    `partition`: the samples of the rank. `kept_share`: the share of them whose linearisation is
    kept. Samples are drawn by the host, but for those that a GPU draws in a moment. A GPU computes
    while the host starts what comes next: that takes time of its own only where it takes longer.
    """
    problem, n = job.problem, job.options.samples
    work, m, seen = cost_model.work, partition.step.samples, partition.evaluation.samples
    products = counts.products_per_solve * work.solves
    rate = device.rate(job.options.torch_dtype, tf32=job.options.tf32)
    chunks = len(partition.step.chunks)

    def of(work: Work) -> float:
        return _seconds(work, device, rate)

    a_product = m * (of(work.product) + (1.0 - kept_share) * of(work.filling))
    made = 0.0 if cost_model.preconditioner is None else cost_model.preconditioner.operations / rate
    calls = device.call * chunks * (products * work.calls[0] + work.calls[1])
    sums = reduced_in_a_step(cost_model, counts, nodes.ranks)
    ring = cost_model.communication.exchanged * m * (nodes.ranks - 1) if meet(problem, n) else 0.0
    further = pairs_a_sample(problem, n) - work.pairs
    computing = {
        "products": products * a_product,
        "samples and forces": m * of(work.step) + seen * of(work.measurement),
        "pairs of particles": (m * work.solves + seen) * further * of(work.pair),
    }
    hidden = sum(computing.values()) if device.is_gpu else 0.0
    return {
        **computing,
        "starting operations": max(0.0, calls - hidden),
        "drawing samples": 0.0 if device.is_gpu and work.drawn_on_gpus else m * work.drawing,
        "preconditioners": counts.preconditioners * made,
        "all-reduces": sum(often * all_reduce(size, device, nodes) for size, often in sums),
        "ring of particles": ring / _slowest(device, nodes).bandwidth if ring else 0.0,
    }


def seconds_of_stage(
    cost_model: CostModel, partition: Partition, job: Job, device: Device
) -> float:
    """Seconds of carrying the samples of a step through one frozen stage of the map."""
    rate = device.rate(job.options.torch_dtype, tf32=job.options.tf32)
    return partition.step.samples * _seconds(cost_model.work.stage, device, rate)


def _seconds(work: Work, device: Device, rate: float) -> float:
    """Seconds of some work on a device of so many operations a second."""
    small = work.matrices / device.matrices + work.matrix_flops / (device.matrix_share * rate)
    products = work.products.seconds(rate, device.product_bandwidth)
    return products + work.moved / device.bandwidth + small


def all_reduce(nbytes: float, device: Device, nodes: Nodes) -> float:
    """Seconds of one sum of `nbytes` over the ranks.

    GPU: T = λ log₂P + 2 (P−1)/P · nbytes/β, a ring with the latency of a tree, λ and β latency and
    bandwidth of the slowest link. CPU: recursive doubling with one message λ + nbytes/β a round,
    the last rounds between nodes; two rounds more where P is no power of two.
    """
    P = nodes.ranks
    if P == 1:
        return 0.0
    if device.is_gpu:
        link = _slowest(device, nodes)
        return link.latency * math.log2(P) + 2 * (P - 1) / P * nbytes / link.bandwidth
    rounds = P.bit_length() - 1
    near = min(rounds, nodes.per_node.bit_length() - 1)
    links: Sequence[Link] = [device.inside] * near + [device.between] * (rounds - near)
    if P & (P - 1):
        links = [*links, *[_slowest(device, nodes)] * 2]
    return sum(link.latency + nbytes / link.bandwidth for link in links)


def _slowest(device: Device, nodes: Nodes) -> Link:
    """The slowest link between ranks of the job."""
    return device.inside if nodes.ranks <= nodes.per_node else device.between
