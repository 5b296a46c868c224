"""How samples fall on ranks: asked of the objects that cut them in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..maps import PushForward
from ..methods import PWGFOptions
from ..methods.sampling import Parts, Sampling
from ..parallel import SampleBlocks
from ..problems import Problem
from ..solve import Output, layout
from .one_rank import OneOfMany


@dataclass(frozen=True)
class Share:
    """Of one sample, the part of the rank that has most: its `leaves`, in samples each."""

    leaves: Sequence[int]

    @property
    def samples(self) -> int:
        return sum(self.leaves)

    @property
    def leaf(self) -> int:
        """The longest."""
        return max(self.leaves)


@dataclass(frozen=True)
class Cut:
    """The samples of a rank: of a step, of the evaluation sample, and those held out."""

    step: Share
    evaluation: Share
    held_out: Share | None


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
        return float(self._layout(1)["every"])

    def _layout(self, ranks: int) -> dict[str, float]:
        return layout(self.problem, self.options, self.output, OneOfMany(ranks))

    def cut(self, ranks: int, device: torch.device) -> Cut:
        """Errors: `InputError` where there are more ranks than sample blocks."""
        sizes, options = self._layout(ranks), self.options
        sampling = Sampling(
            self.problem.start, OneOfMany(ranks, device), seed=options.seed, dtype=options.dtype
        )
        leaf = self.map.leaf_size()

        def share(samples: int) -> Share:
            blocks = SampleBlocks.automatic(samples, options.block)
            return _largest(blocks, sampling.parts(blocks, leaf))

        step = share(options.samples)
        evaluated = SampleBlocks.automatic(int(sizes["particles"]), options.block)
        shards = sampling.evaluation_parts(evaluated, int(sizes["shards"]))
        held = None if options.holdout is None else share(options.held_out)
        return Cut(step, _largest(evaluated, shards), held)


def _largest(blocks: SampleBlocks, parts: Parts) -> Share:
    spans = [[blocks.span(part) for part in rank] for rank in parts]
    every = [[span.stop - span.start for span in rank] for rank in spans]
    return Share(max(every, key=sum))
