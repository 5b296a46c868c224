"""Samples of the start density: those of a step, and the fixed ones on which a run is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cloud import Cloud
from ..parallel import Communicator, RandomStream, SampleBlocks
from ..problems import Density
from .ensemble import Ensemble

_CPU_CHUNK, _GPU_CHUNK = 2048, 65536  # samples that are pushed together, at most


@dataclass(frozen=True)
class Evaluation:
    """The fixed sample on which every method is judged; no step is fitted to it."""

    blocks: SampleBlocks
    """Numbered blocks of all its samples."""
    pieces: int
    """In how many consecutive pieces, at least, ranks share it."""
    span: slice
    """The numbers of this rank's samples among all."""
    ensemble: Ensemble
    """Samples of the start density."""

    @property
    def z(self) -> Tensor:
        """This rank's samples, (n_local, d)."""
        return torch.cat([chunk.x for chunk in self.ensemble.chunks])


Parts = Sequence[Sequence[range]]  # for every rank, the blocks of each of its chunks


class Sampler:
    """Draws this rank's chunks of numbered samples, in one precision on the rank's device."""

    def __init__(
        self, start: Density, communicator: Communicator, *, seed: int, dtype: torch.dtype
    ) -> None:
        self._start, self._communicator = start, communicator
        self._seed, self._dtype = seed, dtype
        self._known: dict[tuple[SampleBlocks, int], Parts] = {}

    def chunks(self, blocks: SampleBlocks, least: int, rank: int) -> Sequence[range]:
        """The blocks of each chunk of `rank`, of `least` samples at least; on a GPU the fewest that
        its memory bears, as small products would leave it idle."""
        ranks = self._communicator.size
        if self._communicator.device.type == "cuda":
            return blocks.grouped(blocks.own(rank, ranks, least), _GPU_CHUNK)
        return blocks.chunks(rank, ranks, least)

    def parts(self, blocks: SampleBlocks, least: int) -> Parts:
        """The chunks of every rank."""
        key = (blocks, least)
        if key not in self._known:  # of all ranks, at every step
            ranks = range(self._communicator.size)
            self._known[key] = [self.chunks(blocks, least, rank) for rank in ranks]
        return self._known[key]

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
    ) -> Ensemble:
        """The samples of a step, or of another random stream."""
        mine = parts[self._communicator.rank]
        chunks = [self._chunk(blocks, part, stream, step) for part in mine]
        spans = [[blocks.span(part) for part in rank] for rank in parts]
        sizes = [[span.stop - span.start for span in rank] for rank in spans]
        return Ensemble(chunks, sizes, self._communicator, step)

    def evaluation(self, blocks: SampleBlocks, pieces: int) -> Evaluation:
        """The evaluation sample, in chunks of pieces."""
        parts = self.evaluation_parts(blocks, pieces)
        mine = parts[self._communicator.rank]
        span = blocks.span(range(mine[0].start, mine[-1].stop))
        return Evaluation(blocks, pieces, span, self.draw(blocks, parts, RandomStream.EVALUATION))

    def _chunk(self, blocks: SampleBlocks, part: range, stream: RandomStream, step: int) -> Cloud:
        z = blocks.draw(self._start.sample, part, seed=self._seed, stream=stream, step=step)
        z = z.to(device=self._communicator.device, dtype=self._dtype)
        return Cloud(z, self._start.log_density(z), self._start.score(z))
