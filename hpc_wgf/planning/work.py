"""Work that a sample is to a rank, and what it waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..choices import Route
from ..interactions.tiles import pair_sums
from ..parallel import RandomStream, SampleBlocks
from ..problems import Problem
from ..profiling.tracing import Work, traced
from .one_step import OneStep
from .partition import Job

_LEAST_DRAWN, _MOST_DRAWN = 1 << 10, 1 << 14  # samples whose drawing is timed
_PAIRED = 512  # particles all pairs of which are traced


@dataclass(frozen=True)
class WorkPerSample:
    """Work a sample of a product, of filling a linearisation, of a step without its products and of
    its measurement; `pair`: of a pair of particles that interact, `pairs` of which are within the
    work of every solve of a step and of the measurement. `calls`: operations started a chunk, of a
    product and of a step. `solves` of a step. `drawing`: seconds a sample, as measured here."""

    product: Work
    filling: Work
    step: Work
    measurement: Work
    pair: Work
    pairs: float
    calls: tuple[float, float]
    solves: int
    drawing: float


def work_per_sample(job: Job, few: OneStep, more: OneStep) -> WorkPerSample:
    def a_sample(of_few: Work, of_more: Work) -> Work:
        return replace((1.0 / (more.samples - few.samples)) * (of_more - of_few), calls=0.0)

    chunks = len(more.system.points)
    return WorkPerSample(
        product=a_sample(few.product, more.product),
        filling=a_sample(_filling(few), _filling(more)),
        step=a_sample(few.work, more.work),
        measurement=a_sample(few.measurement, more.measurement),
        pair=_pair(more),
        pairs=pairs_a_sample(job.problem, more.samples, few.samples),
        calls=(more.product.calls / chunks, (more.work + more.measurement).calls / chunks),
        solves=more.solves,
        drawing=_drawing(job),
    )


def _filling(taken: OneStep) -> Work:
    linearizer = taken.runner.setting.map.linearizer()
    points = taken.system.points
    budget = taken.samples * linearizer.bytes_per_sample
    return traced(lambda: [linearizer.linearize(z, budget=budget) for z in points]).work


def pairs_a_sample(problem: Problem, samples: int, fewer: int | None = None) -> float:
    """Pairs that a particle is in, of one interaction, where they are summed one by one; with
    `fewer`, those that come with each sample more than so many."""
    found = 0.0
    for part in problem.energy.interactions:
        route = part.route_for(samples)
        if route is Route.PAIRS:
            found += samples if fewer is None else samples + fewer
        elif route is Route.BATCHES:
            found += part.batch
    return found


def meet(problem: Problem, samples: int) -> bool:
    """Whether particles travel round the ring of ranks."""
    return any(part.route_for(samples) is Route.PAIRS for part in problem.energy.interactions)


def _pair(taken: OneStep) -> Work:
    """The mean over the interactions."""
    parts = taken.runner.problem.energy.interactions
    x = torch.cat(list(taken.system.images))[:_PAIRED]
    work = Work()
    for part in parts:
        kernel = part.kernel
        work += traced(partial(pair_sums, kernel, x, x, same=True, potential=False)).work
    return replace((1.0 / (max(1, len(parts)) * _PAIRED**2)) * work, calls=0.0)


def _drawing(job: Job) -> float:
    """Seconds that the host takes for a sample, in blocks of the job's size."""
    options, start = job.options, job.problem.start
    size = min(_MOST_DRAWN, SampleBlocks.automatic(options.samples, options.block).size)
    blocks = SampleBlocks(max(size, _LEAST_DRAWN), size)

    def draw() -> float:
        begun = time.perf_counter()
        z = blocks.draw(start.sample, range(blocks.count), seed=0, stream=RandomStream.CHECK)
        z.to(options.torch_dtype)
        return time.perf_counter() - begun

    return min(draw() for _ in range(3)) / blocks.total
