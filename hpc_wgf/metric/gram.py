"""Ĝ v = (1/n) JᵀWP⁻¹(J v) over the samples of all ranks, W their weights [PWGF (3.17)].

P⁻¹ = RᵀR is the inverse of the mobility, which weighs the motion of every sample; I without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..maps import Linearization
from ..matrix_field import MatrixField
from ..parallel import TreeBuffers, tree_sum


@dataclass(frozen=True)
class GramOperator:
    """Ĝ as an operator, without its matrix: J v and Jᵀ(J v) on each rank, one all-reduce of p
    numbers for each product."""

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    ensemble: Ensemble
    """The samples of all ranks."""
    roots: Sequence[MatrixField] | None = None
    """R at every chunk; None for I."""

    @cached_property
    def _tree(self) -> TreeBuffers:
        return TreeBuffers(self.chunks[0].linearizer.packed)

    @cached_property
    def _weights(self) -> list[MatrixField | None]:
        """W P⁻¹."""
        weights = [chunk.weight for chunk in self.ensemble.chunks]
        if self.roots is None:
            return [None if each is None else MatrixField(each) for each in weights]
        inverses = [root.gram() for root in self.roots]
        pairs = zip(inverses, weights, strict=True)
        return [field if each is None else field.scaled(each) for field, each in pairs]

    def matvec(self, v: Tensor) -> Tensor:
        """Ĝ v, (p,) → (p,); collective."""
        linearizer = self.chunks[0].linearizer
        direction = linearizer.direction(v)
        for J, weights in zip(self.chunks, self._weights, strict=True):
            J.gram(direction, self._tree.next(), weights)
            self._tree.add()
        return self.ensemble.mean(linearizer.unpacked(self._tree.total()))

    def square_norm(self, v: Tensor) -> float:
        """vᵀĜv = E|R J v|², v: (p,). Collective, one all-reduce of a number; summed in float64."""
        if self.roots is None:
            return self.square_motion(v)
        pairs = zip(self.chunks, self.roots, strict=True)
        return self._mean_square([root.times(J.jvp(v)) for J, root in pairs])

    def square_motion(self, v: Tensor) -> float:
        """E|J v|², v: (p,), the mean squared velocity of the samples for θ' = v, whatever the
        mobility. Collective, as `square_norm`."""
        return self._mean_square(J.jvp(v) for J in self.chunks)

    def _mean_square(self, values: Iterable[Tensor]) -> float:
        parts = [self.ensemble.square(k, each) for k, each in enumerate(values)]
        return float(self.ensemble.mean(torch.stack([tree_sum(parts)])))
