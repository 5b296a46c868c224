"""Sixty iterations of two engines on this rank, the parameters of rank 0 into a file.

python trained_on_ranks.py OUT ENGINE STAGE ACCUMULATION BREAK
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

import hpc_wgf as wgf
from hpc_wgf.errors import StepUnfinished
from hpc_wgf.methods.training import (
    InnerLoop,
    TrainingOptions,
    engine_for,
    frozen,
    unfinished_of,
)
from hpc_wgf.parallel import SampleBlocks

ITERATIONS = 60


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def train(ranks, options, stop=None, unfinished=None):
    """A game: one network follows the other, which follows the target and flees from it."""
    first, second = network(1), network(2)
    engines = {
        "first": engine_for(first, options, ranks), "second": engine_for(second, options, ranks)
    }  # fmt: skip
    blocks = SampleBlocks(128, 8)
    x = torch.randn(128, 2, generator=torch.Generator().manual_seed(3))
    chunks = [x[blocks.span(part)] for part in blocks.chunks(ranks.rank, ranks.size, 32)]

    def iterate(k: int) -> None:
        with frozen(second):
            engines["first"].step(
                [lambda x=x: (first(x) - second(x)).square().sum() / 128 for x in chunks], 1e-2
            )
        with frozen(first):
            engines["second"].step(
                [lambda x=x: ((second(x) - x.sin()).square() - 0.1 * (first(x) - second(x))
                              .square()).sum() / 128 for x in chunks], 1e-2
            )  # fmt: skip

    setting = SimpleNamespace(communicator=ranks, stop=stop)
    InnerLoop(setting, engines, 1.0).run(iterate, ITERATIONS, unfinished)
    return torch.cat([p.detach().flatten() for m in (first, second) for p in m.parameters()])


def main(out: str, engine: str, stage: str, accumulation: str, broken: str) -> None:
    options = TrainingOptions(
        engine=engine, dtype="float32", zero_stage=int(stage), accumulation=int(accumulation)
    )
    with wgf.distributed() as ranks:
        asked, unfinished = [], None
        if int(broken):
            try:
                train(ranks, options, lambda: asked.append(0) or len(asked) == int(broken))
            except StepUnfinished as stopped:
                unfinished = unfinished_of(stopped.memory)
            assert unfinished is not None
        found = train(ranks, options, unfinished=unfinished)
        if ranks.rank == 0:
            np.save(out, found.numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
