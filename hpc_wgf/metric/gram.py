"""Ĝ v = (1/n) JᵀWP⁻¹(J v) over the samples of all ranks, W their weights [PWGF (3.17)].

P⁻¹ = RᵀR is the inverse of the mobility, which weighs the motion of every sample; I without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..ensemble import Ensemble
from ..krylov import Iteration
from ..maps import Linearization
from ..matrix_field import MatrixField
from ..parallel import tree_sum
from .preconditioner import Preconditioner
from .product import GramProduct
from .standing import StandingGram


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
    standing: StandingGram | None = None
    """Where the linearisations lie, if their addresses serve further operators."""

    def __post_init__(self) -> None:
        if self.standing is not None:
            self.standing.lend(self, self._weights, self.ensemble)

    @cached_property
    def _product(self) -> GramProduct:
        if self.standing is not None:
            return self.standing.product
        ensemble = self.ensemble
        return GramProduct(self.chunks, self._weights, ensemble.communicator, ensemble.total)

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
        return self._product.matvec(v)

    def iteration(self, b: Tensor, preconditioner: Preconditioner | None) -> Iteration | None:
        """The recorded iteration of MINRES for right-hand sides like b; None where there is
        none."""
        return None if self.standing is None else self.standing.iteration(b, preconditioner)

    @counted(Part.RESIDUALS)
    def square_norm(self, v: Tensor) -> float:
        """vᵀĜv = E|R J v|², v: (p,). Collective, one all-reduce of a number; summed in float64."""
        if self.roots is None:
            return self.square_motion(v)
        pairs = zip(self.chunks, self.roots, strict=True)
        return self._mean_squares([[root.times(J.jvp(v))] for J, root in pairs])[0]

    def square_motion(self, v: Tensor) -> float:
        """E|J v|², v: (p,), the mean squared velocity of the samples for θ' = v, whatever the
        mobility. Collective, as `square_norm`."""
        return self.square_motions(v)[0]

    def square_motions(self, *vectors: Tensor) -> list[float]:
        """`square_motion` of several vectors; one all-reduce, one look of the host."""
        return self._mean_squares([J.jvp(v) for v in vectors] for J in self.chunks)

    @counted(Part.RESIDUALS)
    def _mean_squares(self, values: Iterable[Sequence[Tensor]]) -> list[float]:
        """The means of |a|² for several a, (n_chunk, d) each at every chunk."""
        parts = [
            torch.stack([self.ensemble.square(k, each) for each in one])
            for k, one in enumerate(values)
        ]
        found: list[float] = self.ensemble.mean(tree_sum(parts)).tolist()
        return found
