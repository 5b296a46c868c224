"""The samples of a step with log densities and scores, beside what these cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..ensemble import Sampler
from ..errors import InputError, RunError
from ..parallel import LocalCommunicator, RandomStream, SampleBlocks, generators
from ..problems import Barenblatt, Box, Density, Gaussian, Mixture, block_draw
from ..profiling.timing import Call, interleaved
from .record import Row

CASES: dict[str, Callable[[int], Density]] = {
    "gaussian": Gaussian,
    "correlated": lambda d: Gaussian(d, 0.0, torch.eye(d, dtype=torch.float64) + 0.1),
    "barenblatt": lambda d: Barenblatt(d, 2.0),
    "box": lambda d: Box(d, -1.0, 1.0, ramp=0.5),
    "mixture": lambda d: Mixture([Gaussian(d, -1.0), Gaussian(d, 1.0)]),
}
_LEAST = 2048  # samples of a chunk


def rows(names: Sequence[str], dimension: int, samples: int, dtype: str, rounds: int) -> list[Row]:
    """One row for each start density of `CASES`, of `samples` samples on one rank.

    `seconds`: of drawing and evaluating; `numbers`: of the random numbers of the streams alone;
    `written`: of writing as many bytes as the result has to new memory; `share`: of these two in
    `seconds`. `block_after_block`: the seconds of the same samples drawn one block after the other,
    and evaluated for the density and again for the score. Errors: `InputError` for a name that is
    not there, `RunError` where the two ways give different bits."""
    return [_row(name, dimension, samples, getattr(torch, dtype), rounds) for name in names]


def _row(name: str, d: int, samples: int, dtype: torch.dtype, rounds: int) -> Row:
    if name not in CASES:
        raise InputError(f"there is no case {name!r}: choose from {', '.join(CASES)}")
    density, blocks, stream = CASES[name](d), SampleBlocks.automatic(samples), RandomStream.STEP
    sampler = Sampler(density, LocalCommunicator(), seed=0, dtype=dtype)
    parts = sampler.parts(blocks, _LEAST)

    def numbers() -> None:
        draw = block_draw(density, torch.empty(1, blocks.size, d, dtype=torch.float64))
        for random in generators((0, int(stream), 0), range(blocks.count)):
            draw.take(random, 0)

    def block_after_block() -> list[tuple[torch.Tensor, ...]]:
        drawn = [blocks.draw(density.sample, part, seed=0, stream=stream) for part in parts[0]]
        chunks = [z.to(dtype) for z in drawn]
        return [(z, density.log_density(z), density.score(z)) for z in chunks]

    chunks = sampler.draw(blocks, parts, stream).chunks
    for chunk, expected in zip(chunks, block_after_block(), strict=True):
        if not all(map(torch.equal, (chunk.x, chunk.log_density, chunk.score), expected)):
            raise RunError(f"{name}: samples of all blocks at once are others than one by one")
    calls: dict[str, Call] = {
        "whole": lambda: sampler.draw(blocks, parts, stream),
        "block after block": block_after_block,
        "numbers": numbers,
        "written": lambda: [
            torch.zeros(chunk.stop - chunk.start, blocks.size, 2 * d + 1, dtype=dtype)
            for chunk in parts[0]
        ],
    }
    times = interleaved(calls, rounds, torch.device("cpu"))
    seconds = {each: found.median for each, found in times.items()}
    return {
        "case": name,
        "dimension": d,
        "samples": samples,
        "seconds": seconds["whole"],
        "block_after_block": seconds["block after block"],
        "numbers": seconds["numbers"],
        "written": seconds["written"],
        "bytes": samples * (2 * d + 1) * dtype.itemsize,
        "share": (seconds["numbers"] + seconds["written"]) / seconds["whole"],
    }
