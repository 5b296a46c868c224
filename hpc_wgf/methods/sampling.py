"""Samples of the start density: those of a step, and the fixed ones on which a run is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..parallel import Communicator, RandomStream, SampleBlocks
from ..problems import Density

_CPU_CHUNK, _GPU_CHUNK = 2048, 65536  # samples that are pushed together, at most


@dataclass(frozen=True)
class Reference:
    """Samples z of λ with log λ(z) and ∇ log λ(z): one chunk of a rank's samples."""

    z: Tensor
    log_density: Tensor
    score: Tensor


@dataclass(frozen=True)
class Samples:
    """This rank's chunks of one sample of λ, and for every rank the lengths of its chunks.
    `step`: whose sample it is."""

    chunks: Sequence[Reference]
    sizes: Sequence[Sequence[int]]
    step: int = 0

    @property
    def total(self) -> int:
        """n, the samples of all ranks."""
        return sum(map(sum, self.sizes))

    @property
    def points(self) -> list[Tensor]:
        """z of every chunk of this rank, (n_chunk, d)."""
        return [chunk.z for chunk in self.chunks]


@dataclass(frozen=True)
class Evaluation:
    """The evaluation sample: its blocks, the pieces in which ranks share them, and this rank's
    samples.

    `span`: the numbers of this rank's samples among all.
    """

    blocks: SampleBlocks
    pieces: int
    span: slice
    samples: Samples

    @property
    def z(self) -> Tensor:
        """This rank's samples, (n_local, d)."""
        return torch.cat([chunk.z for chunk in self.samples.chunks])


Parts = Sequence[Sequence[range]]  # for every rank, the blocks of each of its chunks


class Sampling:
    """Draws this rank's chunks of numbered samples, in one precision on the rank's device."""

    def __init__(
        self, start: Density, communicator: Communicator, *, seed: int, dtype: torch.dtype
    ) -> None:
        self._start, self._communicator = start, communicator
        self._seed, self._dtype = seed, dtype

    def chunks(self, blocks: SampleBlocks, least: int, rank: int) -> Sequence[range]:
        """The blocks of each chunk of `rank`, of `least` samples at least; on a GPU the fewest that
        its memory bears, as small products would leave it idle."""
        ranks = self._communicator.size
        if self._communicator.device.type == "cuda":
            return blocks.grouped(blocks.own(rank, ranks, least), _GPU_CHUNK)
        return blocks.chunks(rank, ranks, least)

    def parts(self, blocks: SampleBlocks, least: int) -> Parts:
        """The chunks of every rank."""
        return [self.chunks(blocks, least, rank) for rank in range(self._communicator.size)]

    def evaluation_chunks(self, blocks: SampleBlocks, pieces: int, rank: int) -> Sequence[range]:
        """The chunks of the pieces of the evaluation sample that are those of `rank`."""
        most = _GPU_CHUNK if self._communicator.device.type == "cuda" else _CPU_CHUNK
        return [
            chunk
            for piece in blocks.pieces(pieces, rank, self._communicator.size)
            for chunk in blocks.grouped(piece, most)
        ]

    def evaluation_parts(self, blocks: SampleBlocks, pieces: int) -> Parts:
        """The same of every rank."""
        ranks = range(self._communicator.size)
        return [self.evaluation_chunks(blocks, pieces, rank) for rank in ranks]

    def draw(
        self, blocks: SampleBlocks, parts: Parts, stream: RandomStream, step: int = 0
    ) -> Samples:
        """The samples of a step, or of another random stream."""
        mine = parts[self._communicator.rank]
        chunks = [self._chunk(blocks, part, stream, step) for part in mine]
        spans = [[blocks.span(part) for part in rank] for rank in parts]
        sizes = [[span.stop - span.start for span in rank] for rank in spans]
        return Samples(chunks, sizes, step)

    def evaluation(self, blocks: SampleBlocks, pieces: int) -> Evaluation:
        """The evaluation sample, in chunks of pieces."""
        parts = self.evaluation_parts(blocks, pieces)
        mine = parts[self._communicator.rank]
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        return Evaluation(blocks, pieces, span, self.draw(blocks, parts, RandomStream.EVALUATION))

    def _chunk(
        self, blocks: SampleBlocks, part: range, stream: RandomStream, step: int
    ) -> Reference:
        z = blocks.draw(self._start.sample, part, seed=self._seed, stream=stream, step=step)
        z = z.to(device=self._communicator.device, dtype=self._dtype)
        return Reference(z, self._start.log_density(z), self._start.score(z))
