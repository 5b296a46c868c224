"""J as the matrix of a least-squares problem whose rows are distributed over the ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..ensemble import Ensemble
from ..maps import Linearization
from ..matrix_field import MatrixField
from ..parallel import TreeSum, tree_sum


@dataclass(frozen=True)
class JacobianRows:
    """A = (W/n)^½ R J, n the samples of all ranks, W their weights and RᵀR = P⁻¹ the inverse of the
    mobility, so that AᵀA = Ĝ.

    A vector of rows has d entries for each sample; a rank holds those of its own samples,
    (n_local, d).
    """

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    ensemble: Ensemble
    """The samples of all ranks."""
    roots: Sequence[MatrixField] | None = None
    """R at every chunk; None for I."""

    @property
    def _lengths(self) -> list[int]:
        return [len(z) for z in self.ensemble.points]

    @counted(Part.PRODUCTS)
    def matvec(self, v: Tensor) -> Tensor:
        """(W/n)^½ R J v, (p,) → (n_local, d)."""
        moved: Iterable[Tensor] = (J.jvp(v) for J in self.chunks)
        if self.roots is not None:
            moved = (root.times(each) for root, each in zip(self.roots, moved, strict=True))
        parts = [self.ensemble.rooted(k, each) for k, each in enumerate(moved)]
        return torch.cat(parts).div_(self.ensemble.total**0.5)

    @counted(Part.PRODUCTS)
    def rmatvec(self, u: Tensor) -> Tensor:
        """Jᵀ Rᵀ(W/n)^½ u, (n_local, d) → (p,), over all ranks by one all-reduce of p numbers."""
        total = TreeSum()
        parts = u.split(self._lengths)
        for k, (J, part) in enumerate(zip(self.chunks, parts, strict=True)):
            weighed = self.ensemble.rooted(k, part)
            if self.roots is not None:
                weighed = self.roots[k].transposed.times(weighed)
            total.add(J.vjp(weighed)[0])
        summed = self.ensemble.communicator.sum(total.total())
        return summed.div_(self.ensemble.total**0.5)

    @counted(Part.PRODUCTS)
    def norm(self, u: Tensor) -> Tensor:
        """‖u‖ over the rows of all ranks, 0-d in float64, by one all-reduce of a number."""
        parts = [part.double().square().sum() for part in u.split(self._lengths)]
        return self.ensemble.communicator.sum(tree_sum(parts)[None])[0].sqrt()
