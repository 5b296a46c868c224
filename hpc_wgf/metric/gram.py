"""Ĝ v = (1/n) Jᵀ(J v) over the samples of all ranks [PWGF (3.17)]."""

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
    """Ĝ without its matrix: a product is local J v, local Jᵀ(J v), one all-reduce of p numbers."""

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    ensemble: Ensemble
    """The samples of all ranks."""

    @cached_property
    def _tree(self) -> TreeBuffers:
        return TreeBuffers(self.chunks[0].linearizer.packed)

    def matvec(self, v: Tensor) -> Tensor:
        """Ĝ v, (p,) → (p,)."""
        linearizer = self.chunks[0].linearizer
        direction = linearizer.direction(v)
        for J in self.chunks:
            J.gram(direction, self._tree.next())
            self._tree.add()
        return self.ensemble.mean(linearizer.unpacked(self._tree.total()))

    def square_norm(self, v: Tensor) -> float:
        """vᵀĜv = E|J v|²: the mean squared movement of the samples; one all-reduce of a number."""
        parts = [self.ensemble.square(k, J.jvp(v)) for k, J in enumerate(self.chunks)]
        return float(self.ensemble.mean(torch.stack([tree_sum(parts)])))
