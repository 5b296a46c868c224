"""Drawing samples of the start density: new ones for every step, and a fixed evaluation sample."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..accounts import Part, counted, part
from ..choices import Sampling, Stream
from ..cloud import Cloud
from ..errors import InputError
from ..parallel import Communicator, LocalCommunicator, RandomStream, SampleBlocks
from ..problems import (
    Density,
    SampleStart,
    as_carried,
    cloud_of,
    evaluated,
    inverse_transform,
    origin_of,
)
from .ahead import DrawnAhead, are_drawn_ahead, may_be_drawn_aside
from .drawn import drawn
from .ensemble import Ensemble
from .numbered import NumberedSamples
from .sobol import MOST_UNIFORMS, sobol_points

_RUN = (RandomStream.STEP, RandomStream.VALIDATION, RandomStream.EVALUATION)
"""Samples of a run itself."""
_CPU_CHUNK, _GPU_CHUNK = 2048, 1 << 18  # the most samples of a chunk
_GPU_DRAW = 4  # chunks that a GPU draws at once
_MOST_PIECES, _PIECE = 16, 512  # of an evaluation sample; and samples of a piece at least


def default_pieces(samples: int, ranks: int) -> int:
    """The pieces in which so many ranks share an evaluation sample. Up to so many ranks their
    chunks, and with them all sums, are the same: 16 pieces, or of few samples, whose calls would
    take longer than their numbers, a smaller power of two, but no fewer than the sample of a step
    has chunks (see `SampleBlocks.chunks`)."""
    most = max(4, min(_MOST_PIECES, samples // _PIECE))
    return max(1 << (most.bit_length() - 1), ranks)


@dataclass(frozen=True)
class Evaluation:
    """The fixed sample of the start density on which the results of every method are evaluated. It
    is independent of the samples from which the steps are computed."""

    blocks: SampleBlocks
    """The numbered blocks in which the sample is drawn."""
    pieces: int
    """The sample is cut into at least so many pieces of consecutive blocks, and every rank has
    whole pieces."""
    span: slice
    """The numbers of this rank's samples among those of all ranks."""
    ensemble: Ensemble
    """The samples themselves, distributed over the ranks."""

    @property
    def z(self) -> Tensor:
        """The samples of this rank, (n_local, d)."""
        return torch.cat([chunk.x for chunk in self.ensemble.chunks])

    @property
    def log_weight(self) -> Tensor | None:
        """The logarithms of their importance weights, (n_local,); None where all are 1."""
        known = [each for chunk in self.ensemble.chunks if (each := chunk.log_weight) is not None]
        return torch.cat(known) if known else None


Parts = Sequence[Sequence[range]]
"""For every rank and each of its chunks, the numbers of the sample blocks that form the chunk."""


class Sampler:
    """Draws samples of the start density in numbered blocks, each rank those of its own chunks.

    A sample depends on the seed, the stream, the step and its number alone. All ranks together
    therefore draw the same samples, however many ranks there are.
    """

    def __init__(
        self, start: Density, communicator: Communicator, *, seed: int, dtype: torch.dtype,
        sampling: Sampling = Sampling.RANDOM, stream: Stream = Stream.NUMPY,
        proposal: Density | None = None,
    ) -> None:  # fmt: skip
        """Samples of `start` are made in precision `dtype` on the device of `communicator`.
        `sampling`: of the samples of steps and of the evaluation; all others are independent.
        `stream`: of random numbers. `proposal`: the density q from which samples of steps and of
        the evaluation are drawn, with weights λ/q; λ itself by default.

        Errors: `InputError` for Sobol points and the philox stream of a density without inverse
        transform, and for Sobol points of one that takes more coordinates than there are."""
        self._start, self._communicator = start, communicator
        self.proposal = proposal
        """q; None where it is λ."""
        self._seed, self._dtype = seed, dtype
        self._origin = origin_of(start)
        source = proposal or self._origin
        self._inverse = inverse_transform(source) if sampling is Sampling.SOBOL else None
        if self._inverse is not None and self._inverse.uniforms > MOST_UNIFORMS:
            raise InputError(
                f"a sample of the start density takes {self._inverse.uniforms} coordinates, and "
                f'Sobol points have at most {MOST_UNIFORMS}: use method.sampling = "random"'
            )
        numbered = partial(NumberedSamples.of, device=communicator.device, seed=seed)
        wanted = (self._origin, proposal) if stream is Stream.PHILOX else (None, None)
        self._numbered, self._numbered_proposal = map(numbered, wanted)
        aside = may_be_drawn_aside(source) and self._numbered is None
        # A stored map carries samples in float64.
        precision = dtype if as_carried(start) is None else torch.float64
        self._ahead = DrawnAhead(communicator.device, precision) if aside else None
        self._known: dict[tuple[SampleBlocks, int], Parts] = {}

    def chunks(self, blocks: SampleBlocks, least: int, rank: int) -> Sequence[range]:
        """The blocks of each chunk of `rank` for the sample of a step: on a CPU chunks of about
        `least` samples or more, on a GPU as few chunks of at most 2¹⁸ samples as possible."""
        ranks = self._communicator.size
        if self._communicator.device.type == "cuda":  # small products would leave it idle
            return blocks.grouped(blocks.own(rank, ranks, least), _GPU_CHUNK)
        return blocks.chunks(rank, ranks, least)

    def parts(self, blocks: SampleBlocks, least: int) -> Parts:
        """The chunks of every rank for the sample of a step, as `chunks` has them."""
        key = (blocks, least)
        if key not in self._known:  # Every step asks for the chunks of all ranks.
            ranks = range(self._communicator.size)
            self._known[key] = [self.chunks(blocks, least, rank) for rank in ranks]
        return self._known[key]

    def evaluation_chunks(self, blocks: SampleBlocks, pieces: int, rank: int) -> Sequence[range]:
        """The blocks of each chunk of `rank` for the evaluation sample in at least `pieces` pieces.
        A chunk lies within one piece and has at most 2048 samples. On a GPU, which small ones
        would leave idle, chunks of at most 2¹⁸ samples cross the edges of pieces."""
        own = blocks.pieces(pieces, rank, self._communicator.size)
        if self._communicator.device.type == "cuda":
            return blocks.grouped(range(own[0].start, own[-1].stop), _GPU_CHUNK)
        return [chunk for piece in own for chunk in blocks.grouped(piece, _CPU_CHUNK)]

    def evaluation_parts(self, blocks: SampleBlocks, pieces: int) -> Parts:
        """The chunks of every rank for the evaluation sample, as `evaluation_chunks` has them."""
        ranks = range(self._communicator.size)
        return [self.evaluation_chunks(blocks, pieces, rank) for rank in ranks]

    def draw(
        self, blocks: SampleBlocks, parts: Parts, stream: RandomStream, step: int = 0,
        *, place: int | None = None,
    ) -> Ensemble:  # fmt: skip
        """The samples in `blocks` from the random numbers of a stream and a step. `parts` assigns
        the blocks to the chunks of the ranks; this rank draws its own ones only. `place`: where
        they begin in the order of a start density that has its samples in one (`SampleStart`), by
        default behind those of the steps before."""
        mine = parts[self._communicator.rank]
        key = (blocks, tuple(mine), step, place)
        with part(Part.DRAWS):
            drawn = None if self._ahead is None else self._ahead.take(stream, key)
            if drawn is None:
                drawn = self._points(blocks, mine, stream, step, place)
        chunks = [self._cloud(z, weighted=stream in _RUN) for z in drawn]
        return Ensemble(chunks, _sizes(blocks, parts), self._communicator, step)

    def draw_ahead(
        self, blocks: SampleBlocks, parts: Parts, stream: RandomStream, step: int,
        *, place: int | None = None,
    ) -> None:  # fmt: skip
        """Begin to draw what `draw` will be asked for next of this stream, where that pays."""
        if self._ahead is None:
            return
        rank, device = self._communicator.rank, self._communicator.device
        mine, sizes = parts[rank], _sizes(blocks, parts)[rank]
        if not are_drawn_ahead(device, sum(sizes) * self._start.dimension):
            return
        self._ahead.begin(
            stream, (blocks, tuple(mine), step, place),
            [(size, self._start.dimension) for size in sizes],
            partial(self._points, blocks, mine, stream, step, place),
        )  # fmt: skip

    def close(self) -> None:
        """Wait for what is drawn ahead and will not be asked for."""
        if self._ahead is not None:
            self._ahead.close()

    def _points(
        self, blocks: SampleBlocks, mine: Sequence[range], stream: RandomStream, step: int,
        place: int | None,
    ) -> list[Tensor]:  # fmt: skip
        """The samples in every chunk of this rank, (n_chunk, d) each, in float64 on the CPU, or on
        the device that has drawn them."""
        begin = step * blocks.total if place is None else place
        source, numbered = self._origin, self._numbered
        if stream in _RUN and self.proposal is not None:
            source, numbered = self.proposal, self._numbered_proposal
        if self._inverse is not None and stream in _RUN:
            span = blocks.span(range(mine[0].start, mine[-1].stop))
            key = (self._seed, int(stream), step)
            z = self._inverse.samples(sobol_points(span, self._inverse.uniforms, key=key))
            return _cut(z, blocks, mine)
        if isinstance(source, SampleStart):
            own = partial(source.ordered, seed=self._seed, stream=stream, place=begin)
            return [own(blocks.span(part), blocks.total) for part in mine]
        if numbered is not None and self._communicator.device.type == "cuda":
            # Chunk by chunk, kernels would end sooner than the host starts them.
            together = [mine[k : k + _GPU_DRAW] for k in range(0, len(mine), _GPU_DRAW)]
            spans = [range(group[0].start, group[-1].stop) for group in together]
            draws = (numbered.of_blocks(blocks, span, stream, step) for span in spans)
            pairs = zip(draws, together, strict=True)
            return [z for draw, group in pairs for z in _cut(draw, blocks, group)]
        if numbered is not None:
            return [numbered.of_blocks(blocks, part, stream, step) for part in mine]
        return drawn(source, blocks, mine, seed=self._seed, stream=stream, step=step)

    def evaluation(self, blocks: SampleBlocks, pieces: int) -> Evaluation:
        """The evaluation sample in `blocks`, cut into at least `pieces` pieces."""
        parts = self.evaluation_parts(blocks, pieces)
        mine = parts[self._communicator.rank]
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        return Evaluation(blocks, pieces, span, self.draw(blocks, parts, RandomStream.EVALUATION))

    def leading(self, blocks: SampleBlocks, count: int) -> Ensemble:
        """The first members of the evaluation sample in `blocks`, about `count`, in one chunk: all
        of them on every rank."""
        alone = copy.copy(self)
        alone._communicator = LocalCommunicator(self._communicator.device)
        number = max(1, min(blocks.count, count // blocks.size))
        return alone.draw(blocks, [[range(number)]], RandomStream.EVALUATION)

    @counted(Part.DENSITIES)
    def _cloud(self, z: Tensor, *, weighted: bool) -> Cloud:
        if as_carried(self._start) is not None and not (weighted and self.proposal is not None):
            cloud = cloud_of(self._start, z.to(self._communicator.device))
            return Cloud(
                x=cloud.x.to(self._dtype),
                log_density=cloud.log_density.to(self._dtype),
                score=cloud.score.to(self._dtype),
                positive=cloud.positive,
            )
        z = z.to(device=self._communicator.device, dtype=self._dtype)
        (log_density, score), log_weight = evaluated(self._start, z), None
        if weighted and self.proposal is not None:
            log_weight = log_density - self.proposal.log_density(z)
        return Cloud(z, log_density, score, log_weight=log_weight)


def _cut(z: Tensor, blocks: SampleBlocks, mine: Sequence[range]) -> list[Tensor]:
    """Samples of consecutive blocks as chunks."""
    return list(z.split(_lengths(blocks, mine)))


def _sizes(blocks: SampleBlocks, parts: Parts) -> list[list[int]]:
    """The number of samples in every chunk of every rank."""
    return [_lengths(blocks, rank) for rank in parts]


def _lengths(blocks: SampleBlocks, mine: Sequence[range]) -> list[int]:
    """The number of samples in every chunk of one rank."""
    return [span.stop - span.start for span in map(blocks.span, mine)]
