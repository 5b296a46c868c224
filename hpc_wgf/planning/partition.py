"""How samples are divided among ranks, by the same objects as in a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..ensemble import Sampler
from ..maps import PushForward
from ..methods.pwgf import PWGFOptions
from ..output import Output
from ..parallel import SampleBlocks
from ..problems import Problem
from ..run.layout import Layout
from .simulated_rank import SimulatedRank


@dataclass(frozen=True)
class RankShare:
    """The samples of the rank that has most."""

    chunks: Sequence[int]
    """Number of samples in each chunk, which is computed as a whole."""

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(self.chunks)

    @property
    def chunk(self) -> int:
        """Number of samples in the longest chunk."""
        return max(self.chunks)


@dataclass(frozen=True)
class Partition:
    """The samples of a rank."""

    step: RankShare
    """The samples on which a step is computed."""
    evaluation: RankShare
    """The evaluation sample, on which every state is judged."""
    validation: RankShare | None
    """The second sample that ends solves early; None where the options ask for none."""


@dataclass(frozen=True)
class Job:
    """What is to be run: `solve(problem, map, options, output)`."""

    problem: Problem
    """The equation, its start density and its time span."""
    map: PushForward
    """The push-forward map."""
    options: PWGFOptions
    """The options of the method."""
    output: Output
    """What is stored."""

    def of_samples(self, samples: int) -> Job:
        """The same job with n = `samples`.

        The evaluation sample has that size too unless the output says otherwise.
        """
        return replace(self, options=replace(self.options, samples=samples))

    def every(self) -> float:
        """Time between stored rows."""
        return self.layout(1).every

    def layout(self, ranks: int) -> Layout:
        """What the store of the run fixes."""
        return Layout.of(self.problem, self.options, self.output, ranks)

    def partition(self, ranks: int, device: torch.device) -> Partition:
        """The samples of the rank that has most, where there are `ranks` with such a device each.

        Errors: `InputError` where there are more ranks than sample blocks.
        """
        sizes, options = self.layout(ranks), self.options
        sampler = Sampler(
            self.problem.start,
            SimulatedRank(ranks, device),
            seed=options.seed,
            dtype=options.torch_dtype,
        )
        chunk = self.map.chunk_size()

        def share(samples: int) -> RankShare:
            blocks = SampleBlocks.automatic(samples, options.block)
            return _largest(
                blocks,
                [[blocks.own(rank, ranks, chunk)] for rank in range(ranks)],
                lambda rank: sampler.chunks(blocks, chunk, rank),
            )

        step = share(options.samples)
        evaluated, pieces = sizes.particles, sizes.pieces
        blocks = SampleBlocks.automatic(evaluated, options.block)
        evaluation = _largest(
            blocks,
            [blocks.pieces(pieces, rank, ranks) for rank in range(ranks)],
            lambda rank: sampler.evaluation_chunks(blocks, pieces, rank),
        )
        validation = None if options.validation is None else share(options.validation_samples)
        return Partition(step, evaluation, validation)


def _largest(
    blocks: SampleBlocks,
    of_ranks: Sequence[Sequence[range]],
    chunks: Callable[[int], Sequence[range]],
) -> RankShare:
    """The samples of the rank that has most.

    `of_ranks`: ranges of blocks of each rank. `chunks`: those of a rank; as they are many, they are
    asked for this rank only.
    """

    def samples(part: range) -> int:
        span = blocks.span(part)
        return span.stop - span.start

    most = max(range(len(of_ranks)), key=lambda rank: sum(map(samples, of_ranks[rank])))
    return RankShare([samples(chunk) for chunk in chunks(most)])
