"""The particles that interact, as one rank sees them, and the field that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..parallel import Communicator


@dataclass(frozen=True)
class Particles:
    """Particles of all ranks. `chunks`: this rank's, (n_chunk, d) each. `sizes`: for every rank
    the lengths of its chunks."""

    chunks: Sequence[Tensor]
    sizes: Sequence[Sequence[int]]
    communicator: Communicator

    @property
    def total(self) -> int:
        """n, the particles of all ranks."""
        return sum(map(sum, self.sizes))


@dataclass(frozen=True)
class Field:
    """What all particles do to those of one chunk: `force`, the mean of ∇J(x−y) over y, (n, d),
    and where asked for `potential`, half the mean of J(x−y), (n,), whose mean is the energy."""

    force: Tensor
    potential: Tensor | None
