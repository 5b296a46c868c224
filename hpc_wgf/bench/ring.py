"""Sums over pairs of particles by their routes: all pairs (on several ranks in a ring), moments,
random batches.
"""

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
    """One row for each dimension, kernel and route, with `samples` particles in all; collective."""
    return [row for d in dimensions for row in _rows(d, samples, dtype, rounds, communicator)]


def pair_flops(dimension: int) -> int:
    """Floating-point operations for a pair of particles, without those of the kernel function.

    4 d by matrix multiplications, for x·y and the weighted sum over y; 6 d where d ≤ 2, as
    differences, squares and weighted sums are then formed.
    """
    return 6 * dimension if dimension <= 2 else 4 * dimension


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
    """`pairs`: those that are computed, and with moments those that the sums account for."""
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
