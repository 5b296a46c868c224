"""Samples of a density from the numbers of a counter-based stream."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from ..parallel import RandomStream, SampleBlocks, uniforms
from ..problems import Density, SampleStart, inverse_transform

_CPU = torch.device("cpu")


class NumberedSamples:
    """Sample number k is the image of the uniform numbers of k under the inverse transform of the
    density: the same whoever draws it, on a CPU to the bit, on a GPU to rounding."""

    def __init__(self, density: Density, device: torch.device, seed: int) -> None:
        """Errors: `InputError` for a density without inverse transform, and a seed above 64 bits.
        `device`: where samples are drawn, unless the density has a transform of its own."""
        self._transform = inverse_transform(density)
        self._device = device if self._transform.on_devices else _CPU
        self._seed = seed
        self._uniforms(slice(0, 0), RandomStream.CHECK, 0)

    @property
    def on_devices(self) -> bool:
        """Whether a GPU draws its own."""
        return self._transform.on_devices

    @classmethod
    def of(cls, density: Density | None, *, device: torch.device, seed: int) -> Self | None:
        """Those of a density; None for none, and for samples in a file, which have an order and
        need no numbers. Errors: `InputError`, as above."""
        if density is None or isinstance(density, SampleStart):
            return None
        return cls(density, device, seed)

    def of_blocks(
        self, blocks: SampleBlocks, part: range, stream: RandomStream, step: int
    ) -> Tensor:
        """The samples of consecutive blocks, (n, d) in float64."""
        if self._device.type != "cpu":
            return self._transform.samples(self._uniforms(blocks.span(part), stream, step))
        # Block by whole block, as the bits of a product may depend on the number of its rows.
        return torch.cat([self._of_block(blocks, block, stream, step) for block in part])

    def _of_block(
        self, blocks: SampleBlocks, block: int, stream: RandomStream, step: int
    ) -> Tensor:
        begin = block * blocks.size
        u = self._uniforms(slice(begin, begin + blocks.size), stream, step)
        return self._transform.samples(u)[: blocks.total - begin]

    def _uniforms(self, span: slice, stream: RandomStream, step: int) -> Tensor:
        return uniforms(
            span, self._transform.uniforms,
            seed=self._seed, purpose=int(stream), step=step, device=self._device,
        )  # fmt: skip
