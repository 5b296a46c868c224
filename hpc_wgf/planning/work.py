"""Work of a rank for each of its samples, and the seconds to draw them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..choices import Route, Stream
from ..ensemble.numbered import NumberedSamples
from ..interactions.tiles import pair_sums
from ..maps import carried_by
from ..parallel import RandomStream, SampleBlocks
from ..problems import Problem
from ..profiling.tracing import Work, traced
from .one_step import OneStep
from .partition import Job

_LEAST_DRAWN, _MOST_DRAWN = 1 << 10, 1 << 14  # fewest samples whose drawing is timed, largest block
_PAIRED = 512  # particles whose pairs are traced


@dataclass(frozen=True)
class WorkPerSample:
    """Work of a rank for each of its samples."""

    product: Work
    """A product with Ĝ."""
    filling: Work
    """Computing a linearisation, at every product where it is not kept."""
    step: Work
    """A step without its products."""
    measurement: Work
    """Evaluating a state, for a sample of the evaluation sample."""
    pair: Work
    """A pair of particles that interact."""
    pairs: float
    """Pairs a sample that are part of `step`, for each of its solves, and of `measurement`."""
    calls: tuple[float, float]
    """Tensor operations started for a chunk: in a product; in a step and its measurement."""
    solves: int
    """Linear solves of a step."""
    stage: Work
    """Carrying a sample through a frozen stage of the map."""
    drawing: float
    """Seconds to draw a sample, measured on this machine."""
    drawn_on_gpus: bool
    """Whether a GPU draws its own."""


def work_per_sample(job: Job, few: OneStep, more: OneStep) -> WorkPerSample:
    """Work a sample, from the difference of two steps on `few` and on `more` samples."""

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
        stage=a_sample(_carrying(few), _carrying(more)),
        drawing=_drawing(job),
        drawn_on_gpus=(numbered := _numbered(job)) is not None and numbered.on_devices,
    )


def _filling(taken: OneStep) -> Work:
    """Work of computing the linearisations at all samples of a step."""
    linearizer = taken.runner.setting.map.linearizer()
    points = taken.system.points
    budget = taken.samples * linearizer.bytes_per_sample
    return traced(lambda: [linearizer.linearize(z, budget=budget) for z in points]).work


def _carrying(taken: OneStep) -> Work:
    """Work of carrying all samples of a step through one map like that of the run."""
    map, chunks = taken.runner.setting.map, taken.system.ensemble.chunks
    score = taken.runner.problem.energy.needs_density
    return traced(lambda: carried_by(map, chunks, score=score)).work


def pairs_a_sample(problem: Problem, samples: int, fewer: int | None = None) -> float:
    """Pairs that are summed for each of n = `samples` particles, over all interactions.

    Interactions by moments have none. With `fewer`: (pairs of n − pairs of `fewer`)/(n − `fewer`).
    """
    found = 0.0
    for part in problem.energy.interactions:
        route = part.route_for(samples)
        if route is Route.PAIRS:
            found += samples if fewer is None else samples + fewer
        elif route is Route.BATCHES:
            found += part.batch
    return found


def meet(problem: Problem, samples: int) -> bool:
    """Whether particles of different ranks meet: some interaction sums over all pairs."""
    return any(part.route_for(samples) is Route.PAIRS for part in problem.energy.interactions)


def _pair(taken: OneStep) -> Work:
    """Work of a pair of particles, the mean over the interactions."""
    parts = taken.runner.problem.energy.interactions
    x = torch.cat(list(taken.system.images))[:_PAIRED]
    work = Work()
    for part in parts:
        kernel = part.kernel
        work += traced(partial(pair_sums, kernel, x, x, same=True, potential=False)).work
    return replace((1.0 / (max(1, len(parts)) * _PAIRED**2)) * work, calls=0.0)


def _drawing(job: Job) -> float:
    """Seconds that the host takes to draw a sample, in blocks as the job has them."""
    options, start, numbered = job.options, job.problem.start, _numbered(job)
    size = min(_MOST_DRAWN, SampleBlocks.automatic(options.samples, options.block).size)
    blocks = SampleBlocks(max(size, _LEAST_DRAWN), size)

    def draw() -> float:
        begun = time.perf_counter()
        all_blocks, stream = range(blocks.count), RandomStream.CHECK
        if numbered is None:
            z = blocks.draw(start.sample, all_blocks, seed=0, stream=stream)
        else:
            z = numbered.of_blocks(blocks, all_blocks, stream, 0)
        z.to(options.torch_dtype)
        return time.perf_counter() - begun

    return min(draw() for _ in range(3)) / blocks.total


def _numbered(job: Job) -> NumberedSamples | None:
    """The samples of the philox stream, where that is asked for."""
    if job.options.stream is not Stream.PHILOX:
        return None
    return NumberedSamples.of(job.problem.start, device=torch.device("cpu"), seed=0)
