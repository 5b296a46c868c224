"""Pair interactions: all pairs, in tiles on one rank and round the ring on several, against moments
and random batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..choices import Route
from ..interactions import GaussianKernel, InteractionEnergy, Kernel, Particles, PowerLaw
from ..parallel import Communicator, RandomStream, SampleBlocks
from ..problems import Gaussian
from ..profiling.machine import matmul_rate, square_products
from ..profiling.timing import Call, interleaved
from .record import Row

_KERNELS: dict[str, Kernel] = {"power 4-2": PowerLaw(4, 2), "gaussian": GaussianKernel()}
_BATCH = 64


def rows(
    dimensions: Sequence[int], samples: int, dtype: str, rounds: int, communicator: Communicator
) -> list[Row]:
    """One row a dimension, kernel and route; collective."""
    return [row for d in dimensions for row in _rows(d, samples, dtype, rounds, communicator)]


def pair_flops(dimension: int) -> int:
    """Operations a pair, the kernel's own function not counted: in matrix form x·y and the
    weighted sum over y, 4 d; up to the plane by differences, squares and weighted sums, 6 d."""
    return 6 * dimension if dimension <= 2 else 4 * dimension


def drawn(d: int, samples: int, dtype: torch.dtype, communicator: Communicator) -> Particles:
    """Particles of a Gaussian, this rank's chunks as a step has them."""
    blocks, ranks = SampleBlocks.automatic(samples), communicator.size
    parts = [blocks.chunks(rank, ranks) for rank in range(ranks)]
    spans = [[blocks.span(part) for part in of_rank] for of_rank in parts]

    def chunk(part: range) -> Tensor:
        x = blocks.draw(Gaussian(d).sample, part, seed=0, stream=RandomStream.STEP)
        return x.to(device=communicator.device, dtype=dtype)

    chunks = [chunk(part) for part in parts[communicator.rank]]
    return Particles(
        chunks, [[s.stop - s.start for s in of_rank] for of_rank in spans], communicator
    )


def _rows(d: int, samples: int, dtype: str, rounds: int, communicator: Communicator) -> list[Row]:
    particles = drawn(d, samples, getattr(torch, dtype), communicator)
    energies = {
        (name, route): InteractionEnergy(kernel, route=route, batch=_BATCH)
        for name, kernel in _KERNELS.items()
        for route in (Route.PAIRS, Route.MOMENTS, Route.BATCHES)
        if route is not Route.MOMENTS or kernel.even_powers() is not None
    }
    calls: dict[str, Call] = {
        f"{name}, {route}": partial(energy.fields, particles)
        for (name, route), energy in energies.items()
    }
    calls |= square_products(getattr(torch, dtype), communicator.device)
    times = interleaved(calls, rounds, communicator.device)
    rate = matmul_rate(times, communicator.device)
    seconds = [times[f"{name}, {route}"].median for name, route in energies]
    slowest = [max(each) for each in zip(*communicator.gather(seconds), strict=True)]
    return [
        _row(name, route, d, samples, rate, second, communicator.size)
        for (name, route), second in zip(energies, slowest, strict=True)
    ]


def _row(
    kernel: str, route: Route, d: int, samples: int, rate: float, seconds: float, ranks: int
) -> Row:
    """`pairs`: those that are met, and for the moments those that are accounted for."""
    pairs = samples * (_BATCH if route is Route.BATCHES else samples)
    flops = None if route is Route.MOMENTS else pair_flops(d)
    return {
        "route": str(route),
        "kernel": kernel,
        "dimension": d,
        "ranks": ranks,
        "particles": samples,
        "seconds": seconds,
        "pairs": pairs,
        "ns_per_pair": 1e9 * seconds / pairs,
        "flops_per_pair": flops,
        "matmul_share": flops and flops * pairs / seconds / rate / ranks,
        "matmul_gflops": rate / 1e9,
    }
