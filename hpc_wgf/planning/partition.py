"""How samples fall on ranks: asked of the objects that cut them in a run."""

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
    """Of one sample, the part of the rank that has most: its `chunks`, in samples each."""

    chunks: Sequence[int]

    @property
    def samples(self) -> int:
        return sum(self.chunks)

    @property
    def chunk(self) -> int:
        """The longest."""
        return max(self.chunks)


@dataclass(frozen=True)
class Partition:
    """The samples of a rank: of a step, of the evaluation sample, and those held out."""

    step: RankShare
    evaluation: RankShare
    validation: RankShare | None


@dataclass(frozen=True)
class Job:
    """What is to be run: `solve(problem, map, options, output)`."""

    problem: Problem
    map: PushForward
    options: PWGFOptions
    output: Output

    def of_samples(self, samples: int) -> Job:
        """The same with so many samples, and as many to be evaluated on unless the output says
        otherwise."""
        return replace(self, options=replace(self.options, samples=samples))

    def every(self) -> float:
        """Time between stored rows."""
        return self._layout(1).every

    def _layout(self, ranks: int) -> Layout:
        return Layout.of(self.problem, self.options, self.output, ranks)

    def partition(self, ranks: int, device: torch.device) -> Partition:
        """Errors: `InputError` where there are more ranks than sample blocks."""
        sizes, options = self._layout(ranks), self.options
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
    """Of the rank that has most: `chunks`, which are many, are asked of that one only."""

    def samples(part: range) -> int:
        span = blocks.span(part)
        return span.stop - span.start

    most = max(range(len(of_ranks)), key=lambda rank: sum(map(samples, of_ranks[rank])))
    return RankShare([samples(chunk) for chunk in chunks(most)])
