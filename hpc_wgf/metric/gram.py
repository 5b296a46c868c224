"""Ĝ v = (1/n) JᵀW(J v) over the samples of all ranks, W their weights [PWGF (3.17)]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..maps import Linearization
from ..parallel import TreeBuffers, tree_sum


@dataclass(frozen=True)
class GramOperator:
    """Ĝ as an operator, without its matrix: J v and Jᵀ(J v) on each rank, one all-reduce of p
    numbers for each product."""

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    ensemble: Ensemble
    """The samples of all ranks."""

    @cached_property
    def _tree(self) -> TreeBuffers:
        return TreeBuffers(self.chunks[0].linearizer.packed)

    @cached_property
    def _weights(self) -> list[Tensor | None]:
        return [chunk.weight for chunk in self.ensemble.chunks]

    def matvec(self, v: Tensor) -> Tensor:
        """Ĝ v, (p,) → (p,); collective."""
        linearizer = self.chunks[0].linearizer
        direction = linearizer.direction(v)
        for J, weights in zip(self.chunks, self._weights, strict=True):
            J.gram(direction, self._tree.next(), weights)
            self._tree.add()
        return self.ensemble.mean(linearizer.unpacked(self._tree.total()))

    def square_norm(self, v: Tensor) -> float:
        """vᵀĜv = E|J v|², v: (p,), the mean squared velocity of the samples for θ' = v.

        Collective, one all-reduce of a number; summed in float64.
        """
        parts = [self.ensemble.square(k, J.jvp(v)) for k, J in enumerate(self.chunks)]
        return float(self.ensemble.mean(torch.stack([tree_sum(parts)])))
