"""The samples of iterations: of the flow and of Γ, in chunks that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...ensemble import Ensemble
from ...maps import MapState
from ...parallel import RandomStream, SampleBlocks
from ..base import Setting
from .reference import Reference


@dataclass(frozen=True)
class NumberedDraws:
    """Samples of the present map's start and of Γ, each a function of the seed and a number."""

    setting: Setting
    """Draws them."""
    blocks: SampleBlocks
    """Their blocks."""
    seed: int
    """Of those of Γ."""
    stream: RandomStream = RandomStream.STEP
    """Of those of the flow."""

    def of_start(self, map: MapState, number: int) -> Ensemble:
        """Samples behind the frozen stages of a map, without scores."""
        sampler = self.setting.sampler
        parts = sampler.parts(self.blocks, map.map.chunk_size())
        drawn = sampler.draw(self.blocks, parts, self.stream, number)
        return drawn.carried(map.stages, score=False)

    def of_reference(self, reference: Reference, map: MapState, number: int) -> Sequence[Tensor]:
        """As many of Γ, in chunks of the same blocks, (n_chunk, d) each."""
        # Those that go with different streams must differ too.
        number = 2 * number + (self.stream is RandomStream.VALIDATION)
        parts = self.setting.sampler.parts(self.blocks, map.map.chunk_size())
        return [
            self.blocks.draw(
                reference.sample, part, seed=self.seed, stream=RandomStream.REFERENCE, step=number
            ).to(map.theta)
            for part in parts[self.setting.communicator.rank]
        ]
