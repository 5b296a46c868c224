"""Interacting particles, distributed over the ranks, and the field that they generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..parallel import Communicator


@dataclass(frozen=True)
class Particles:
    """The particles of all ranks, of which each rank holds its own."""

    chunks: Sequence[Tensor]
    """Positions of this rank's particles, (n_chunk, d) for each chunk."""
    sizes: Sequence[Sequence[int]]
    """The number of particles in every chunk of every rank, indexed by rank and chunk."""
    communicator: Communicator
    """The ranks over which the particles are distributed."""

    @property
    def total(self) -> int:
        """n, the number of particles of all ranks together."""
        return sum(map(sum, self.sizes))


@dataclass(frozen=True)
class Field:
    """The field that all particles y generate at the particles x of a chunk. E is the mean over
    y, and c the factor of the energy."""

    force: Tensor
    """f(x) = c E[∇J(x−y)], (n, d)."""
    potential: Tensor | None
    """(c/2) E[J(x−y)], (n,), whose mean over x is the energy F. None if it was not asked for."""
