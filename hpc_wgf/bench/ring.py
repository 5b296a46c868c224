"""Sums over pairs of particles by their routes: all pairs (on several ranks in a ring), moments,
random batches. Where PyKeOps is installed, all pairs by it too, and on one rank a call of it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..choices import PairSums, Route
from ..interactions import (
    GaussianKernel,
    InteractionEnergy,
    Kernel,
    Particles,
    Power,
    PowerLaw,
    keops,
)
from ..parallel import Communicator, RandomStream, SampleBlocks
from ..problems import Gaussian
from ..profiling.machine import matmul_rate, square_products
from ..profiling.timing import Call, interleaved
from .record import Row

_KERNELS: dict[str, Kernel] = {
    "power 4-2": PowerLaw(4, 2), "gaussian": GaussianKernel(), "log": Power(0)
}  # fmt: skip
_BATCH = 64
_BY_KEOPS, _KEOPS_ALONE = "pairs, keops", "PyKeOps"


def rows(
    dimensions: Sequence[int], samples: int, dtype: str, rounds: int, communicator: Communicator
) -> list[Row]:
    """One row for each dimension, kernel and route, with `samples` particles in all; collective."""
    return [row for d in dimensions for row in _rows(d, samples, dtype, rounds, communicator)]


def pair_flops(dimension: int) -> int:
    """Floating-point operations for a pair of particles, without those of the kernel function.

    Up to three dimensions 3 d − 1 by differences for |x − y|², beyond them 2 (d + 2) by a matrix
    product; 2 (d + 1) by another for the weighted sums over y.
    """
    square = 3 * dimension - 1 if dimension <= 3 else 2 * (dimension + 2)
    return square + 2 * (dimension + 1)


def drawn(d: int, samples: int, dtype: torch.dtype, communicator: Communicator) -> Particles:
    """Particles from N(0, I) in dimension d, `samples` of all ranks, in chunks as in a step."""
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
    by_route = {
        (name, route): call
        for name, kernel in _KERNELS.items()
        for route, call in _calls(kernel, particles).items()
    }
    calls = {f"{name}, {route}": call for (name, route), call in by_route.items()}
    products = square_products(getattr(torch, dtype), communicator.device)
    times = interleaved({**calls, **products}, rounds, communicator.device)
    rate = matmul_rate(times, communicator.device)
    seconds = [times[name].median for name in calls]
    slowest = [max(each) for each in zip(*communicator.gather(seconds), strict=True)]
    return [
        _row(name, route, d, samples, rate, second, communicator.size)
        for (name, route), second in zip(by_route, slowest, strict=True)
    ]


def _calls(kernel: Kernel, particles: Particles) -> dict[str, Call]:
    """The forces of all particles by every route that the kernel allows."""
    routes = [Route.PAIRS, Route.BATCHES]
    if kernel.even_powers() is not None:
        routes.insert(1, Route.MOMENTS)
    calls: dict[str, Call] = {
        str(route): partial(InteractionEnergy(kernel, route=route, batch=_BATCH).fields, particles)
        for route in routes
    }
    # On a GPU it has to be asked for: with some versions of CUDA it ends the process.
    if keops.is_installed() and particles.communicator.device.type == "cpu":
        by_keops = InteractionEnergy(kernel, route=Route.PAIRS, pairs=PairSums.KEOPS)
        calls[_BY_KEOPS] = partial(by_keops.fields, particles)
        if particles.communicator.size == 1:
            x = torch.cat(list(particles.chunks))
            calls[_KEOPS_ALONE] = partial(
                keops.keops_sums, kernel, x, x, own=slice(0), potential=False
            )
    return calls


def _row(
    kernel: str, route: str, d: int, samples: int, rate: float, seconds: float, ranks: int
) -> Row:
    """`pairs`: those that are computed, and with moments those that the sums account for."""
    pairs = samples * (_BATCH if route == Route.BATCHES else samples)
    flops = None if route == Route.MOMENTS else pair_flops(d)
    return {
        "route": route,
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
