"""Samples of the philox stream are drawn on the GPU, and are those of the CPU."""

from __future__ import annotations

import pytest
import torch
from pretended_gpu import pretended_gpu

from hpc_wgf import Barenblatt, Box, Gaussian, Mixture, Paraboloid
from hpc_wgf.choices import Stream
from hpc_wgf.ensemble import Sampler
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks
from hpc_wgf.periods import Periods
from hpc_wgf.problems.wrapped import wrapped

STARTS = {
    "gaussian": Gaussian(3, [1.0, 0.0, -1.0], torch.eye(3) + 0.5),
    "mixture": Mixture([Gaussian(2), Box(2, 2.0, 3.0, 0.5), Barenblatt(2, 2.0)], [1.0, 2.0, 1.0]),
    "uniform": Box(2, -1.0, 2.0),
    "barenblatt": Barenblatt(15, 2.0),
    "line": Paraboloid(1, 1.0, 2.0, 0.3),
    "on a circle": wrapped(Gaussian(2, 1.0), Periods((3.0, 0.0))),
}
BLOCKS = SampleBlocks(1000, 48)


def points(communicator, start, step: int) -> torch.Tensor:
    sampler = Sampler(start, communicator, seed=5, dtype=torch.float64, stream=Stream.PHILOX)
    own = sampler.parts(BLOCKS, 512)
    sampler.draw(BLOCKS, own, RandomStream.STEP, 0)
    before = communicator.reads() if hasattr(communicator, "reads") else 0
    drawn = sampler.draw_points(BLOCKS, own, RandomStream.STEP, step)
    if hasattr(communicator, "reads"):
        assert communicator.reads() == before
    return torch.cat([z.cpu() for z in drawn])


def real_gpu():
    raise NotImplementedError
