"""Preconditioners from large diagonal blocks of Ĝ, each of which one rank alone makes, factors and
applies.

Blocks of q parameters hold q² numbers, and told to all they would take longer on their way than to
be made anew: two ranks exchange 97 MB for the 30 blocks of 519 parameters of a map in thirty
dimensions. Where each stays with its rank, a product with M⁻¹ tells p numbers in one all-reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..parallel import Communicator
from .diagonal_blocks import damping, inverse_factors, largest_eigenvalue
from .preconditioner import Preconditioner

_LARGE = 1 << 21  # Numbers of all blocks, a product with which takes longer than an all-reduce.


def stay_apart(sizes: Sequence[int], communicator: Communicator) -> bool:
    """Whether blocks of so many parameters stay with one rank each: on CPUs, where they are large.
    The answer is that of a single rank too, which has the same bits therefore."""
    large = sum(size * size for size in sizes) >= _LARGE
    return large and len(sizes) > 1 and communicator.device.type == "cpu"


def own_blocks(count: int, communicator: Communicator) -> range:
    """The numbers of this rank's blocks."""
    return range(communicator.rank, count, communicator.size)


@dataclass(frozen=True)
class SharedBlocks:
    """Ĝ ≈ its diagonal blocks, as in `DiagonalBlocks`; every rank has its own ones."""

    matrices: Mapping[int, Tensor]
    """This rank's blocks by their numbers, (q, q) each, in float64."""
    indices: Sequence[Tensor]
    """The places in θ of the parameters of all blocks, (q,) each."""
    rows: float
    """m, the rows of J of which they are means."""
    communicator: Communicator
    """The ranks."""

    norm: float
    """See `GramModel.norm`."""

    @classmethod
    def of(
        cls, matrices: Mapping[int, Tensor], indices: Sequence[Tensor], rows: float,
        communicator: Communicator,
    ) -> Self:  # fmt: skip
        """Collective, one all-reduce of a number a block."""
        found = torch.zeros(len(indices), dtype=torch.float64)
        for k, matrix in matrices.items():
            found[k] = largest_eigenvalue(matrix)
        return cls(matrices, indices, rows, communicator, float(communicator.sum(found).max()))

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """See `DiagonalBlocks.shifted`; every rank factors its own blocks."""
        parameters = sum(len(index) for index in self.indices)
        factors = [
            inverse_factors(matrix[None], shift * damping(len(matrix), self.rows), dtype)[0]
            for matrix in self.matrices.values()
        ]
        own = [self.indices[k] for k in self.matrices]
        return SharedCholesky(factors, own, parameters, self.communicator)


@dataclass(frozen=True)
class SharedCholesky:
    """M⁻¹ = L⁻ᵀ L⁻¹ by the inverse factors of blocks, each on one rank. Products are collective."""

    inverses: Sequence[Tensor]
    """L⁻¹ of this rank's blocks, (q, q) each."""
    indices: Sequence[Tensor]
    """Their places in θ, (q,) each."""
    parameters: int
    """p."""
    communicator: Communicator
    """The ranks."""

    def __call__(self, v: Tensor) -> Tensor:
        # Both products at once, while the factor is in cache.
        return self._apply(v, lambda inverse, own: inverse.mT @ (inverse @ own))

    def solve_upper(self, v: Tensor) -> Tensor:
        return self._apply(v, lambda inverse, own: inverse.mT @ own)

    def solve_lower(self, v: Tensor) -> Tensor:
        return self._apply(v, torch.mv)

    def _apply(self, v: Tensor, product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Block by block: bits of products of several at once may depend on their number. Zeros
        are added to each entry, which leaves its bits as they are."""
        result = v.new_zeros(self.parameters)
        for inverse, index in zip(self.inverses, self.indices, strict=True):
            result[index] = product(inverse, v[index])
        return self.communicator.sum(result)
