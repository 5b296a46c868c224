"""Samples of numbered blocks, many blocks at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from ..parallel import RandomStream, SampleBlocks, generators
from ..problems import Density, fill, is_blockwise

_GROUP = 1 << 16  # coordinates that are drawn and transformed together: they stay in cache


def drawn(
    density: Density, blocks: SampleBlocks, parts: Sequence[range], *, seed: int,
    stream: RandomStream, step: int,
) -> list[Tensor]:  # fmt: skip
    """The samples of each of these consecutive `parts` of the blocks of a density, (n, d) in
    float64 on the CPU: bit by bit those of `SampleBlocks.draw`."""
    if not is_blockwise(density):
        own = partial(blocks.draw, density.sample, seed=seed, stream=stream, step=step)
        return [own(part) for part in parts]
    random = generators((seed, int(stream), step), range(parts[0].start, parts[-1].stop))
    groups = max(1, _GROUP // (blocks.size * density.dimension))
    samples = []
    for part in parts:
        # Memory of their own: products may depend on where in a larger tensor samples begin.
        out = torch.empty(len(part), blocks.size, density.dimension, dtype=torch.float64)
        for group in out.split(groups):
            fill(density, islice(random, len(group)), group)
        span = blocks.span(part)
        samples.append(out.view(-1, density.dimension)[: span.stop - span.start])
    return samples
