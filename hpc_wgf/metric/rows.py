"""J as the matrix of a least-squares problem whose rows are distributed over the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..maps import Linearization
from ..parallel import TreeSum, tree_sum


@dataclass(frozen=True)
class JacobianRows:
    """A = J/√n, n the samples of all ranks, so that AᵀA = Ĝ.

    A vector of rows has d entries for each sample; a rank holds those of its own samples,
    (n_local, d).
    """

    chunks: Sequence[Linearization]
    """J on each chunk of this rank's samples."""
    ensemble: Ensemble
    """The samples of all ranks."""

    @property
    def _lengths(self) -> list[int]:
        return [len(z) for z in self.ensemble.points]

    def matvec(self, v: Tensor) -> Tensor:
        """J v/√n, (p,) → (n_local, d)."""
        return torch.cat([J.jvp(v) for J in self.chunks]).div_(self.ensemble.total**0.5)

    def rmatvec(self, u: Tensor) -> Tensor:
        """Jᵀ u/√n, (n_local, d) → (p,), summed over all ranks by one all-reduce of p numbers."""
        total = TreeSum()
        for J, part in zip(self.chunks, u.split(self._lengths), strict=True):
            total.add(J.vjp(part)[0])
        summed = self.ensemble.communicator.sum(total.total())
        return summed.div_(self.ensemble.total**0.5)

    def norm(self, u: Tensor) -> Tensor:
        """‖u‖ over the rows of all ranks, 0-d in float64, by one all-reduce of a number."""
        parts = [part.double().square().sum() for part in u.split(self._lengths)]
        return self.ensemble.communicator.sum(tree_sum(parts)[None])[0].sqrt()
