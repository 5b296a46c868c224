"""The product with Ĝ, as a function of what keeps its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..maps import Linearization
from ..matrix_field import MatrixField
from ..parallel import Communicator, TreeBuffers


@dataclass(frozen=True)
class GramProduct:
    """v ↦ Ĝv at linearisations and weights that keep their addresses."""

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    weights: Sequence[MatrixField | None]
    """W P⁻¹ on each chunk; None for I."""
    communicator: Communicator
    """The ranks."""
    total: int
    """n, the samples of all ranks."""

    @cached_property
    def _tree(self) -> TreeBuffers:
        return TreeBuffers(self.chunks[0].linearizer.packed)

    @counted(Part.PRODUCTS)
    @torch.no_grad()
    def matvec(self, v: Tensor) -> Tensor:
        """Ĝ v, (p,) → (p,); collective."""
        linearizer, tree = self.chunks[0].linearizer, self._tree
        direction = linearizer.direction(v)
        tree.restart()
        for J, weights in zip(self.chunks, self.weights, strict=True):
            J.gram(direction, tree.next(), weights)
            tree.add()
        return self.communicator.sum(linearizer.unpacked(tree.total())).div_(self.total)
