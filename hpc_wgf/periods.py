"""Coordinates that live on circles: their periods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .constants import numbers, places
from .errors import InputError


@dataclass(frozen=True)
class Periods:
    """The periods of the coordinates of x.

    Points x and x + L e, L the period of the coordinate along e, are one point; samples may be any
    of these, and maps commute with the period: T(z + L e) = T(z) + L e."""

    lengths: tuple[float, ...]
    """L for every coordinate, in units of x; 0 for those that are not periodic."""

    @classmethod
    def of(cls, dimension: int, lengths: Sequence[float] | None) -> Periods | None:
        """Those of d coordinates, 0 for none; None where all are 0 or nothing is given.

        Errors: `InputError` for other than d numbers, or one that is negative or not finite."""
        given = [0.0] * dimension if lengths is None else list(lengths)
        if len(given) != dimension:
            raise InputError(
                f"{len(given)} periods are given in dimension {dimension}: give one for each "
                "coordinate, 0 for those that are not periodic"
            )
        for j, length in enumerate(given):
            if not (length >= 0 and math.isfinite(length)):
                raise InputError(
                    f"the period of coordinate {j} must be finite and positive, or 0 for none, got "
                    f"{length}"
                )
        return cls(tuple(map(float, given))) if any(given) else None

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.lengths)

    @cached_property
    def circles(self) -> list[int]:
        """The coordinates with a period."""
        return [j for j, length in enumerate(self.lengths) if length]

    @cached_property
    def lines(self) -> list[int]:
        """Those without."""
        return [j for j, length in enumerate(self.lengths) if not length]

    def shift(self, j: int, like: Tensor) -> Tensor:
        """L e for the coordinate j, (d,)."""
        step = like.new_zeros(self.dimension)
        step[j] = self.lengths[j]
        return step

    def folded(self, z: Tensor) -> Tensor:
        """The points z, (n, d), with coordinates in [0, L) on circles."""
        columns = list(z.unbind(1))
        for j in self.circles:
            columns[j] = columns[j].remainder(self.lengths[j])
        return torch.stack(columns, 1)

    def contain(self, z: Tensor) -> Tensor:
        """Whether the coordinates of z on circles lie in [0, L), (n, d) → (n,)."""
        inside = torch.ones_like(z[:, 0], dtype=torch.bool)
        for j in self.circles:
            inside &= (z[:, j] >= 0) & (z[:, j] < self.lengths[j])
        return inside

    def rotations(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """sin(2πz_j/L) L/2π, which stretches a circle here and compresses it there, and its
        derivatives, (n, k) each, for the k coordinates on circles."""
        rates = 2 * math.pi / numbers([self.lengths[j] for j in self.circles], z)
        angles = rates * z[:, places(self.circles, z)]
        return angles.sin() / rates, angles.cos()
