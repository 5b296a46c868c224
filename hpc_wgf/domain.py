"""The space of a flow: every coordinate a line, a circle, or an interval with reflecting ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .errors import InputError

Walls = tuple[float, float]
"""The two ends of an interval."""


@dataclass(frozen=True)
class Domain:
    """Periods and reflecting walls of the coordinates of x ∈ ℝᵈ.

    Points x and x + L e, L the period of the coordinate along e, are one point; samples may be any
    of these, and maps commute with the period: T(z + L e) = T(z) + L e. Between walls a ≤ x_j ≤ b
    nothing flows through either, and maps leave both where they are.
    """

    periods: tuple[float, ...]
    """L for every coordinate; 0 for those that are not periodic."""
    walls: tuple[Walls | None, ...]
    """(a, b) for every coordinate; None for those without walls."""

    @classmethod
    def of(
        cls,
        dimension: int,
        periods: Sequence[float] | None = None,
        walls: Sequence[Sequence[float] | None] | None = None,
    ) -> Domain | None:
        """The domain of these `periods`, 0 for none, and `walls`, (a, b), or None or () for none;
        None where there are neither.

        Errors: `InputError` for other than d of them, for a period below 0, walls that are not
        a < b, and for a coordinate with both."""
        lengths = [0.0] * dimension if periods is None else list(periods)
        ends = [None] * dimension if walls is None else list(walls)
        for what, given in (("periods", lengths), ("walls", ends)):
            if len(given) != dimension:
                raise InputError(
                    f"the {what} of a domain in dimension {dimension} are {dimension}, one for "
                    f"each coordinate, got {len(given)}: give 0 for no period, [] for no walls"
                )
        pairs = [_pair(each, j) for j, each in enumerate(ends)]
        for j, (length, pair) in enumerate(zip(lengths, pairs, strict=True)):
            if not (length >= 0 and math.isfinite(length)):
                raise InputError(
                    f"the period of coordinate {j} must be finite and positive, or 0 for none, got "
                    f"{length}"
                )
            if length and pair is not None:
                raise InputError(f"coordinate {j} has a period and walls: give one of them")
        domain = cls(tuple(map(float, lengths)), tuple(pairs))
        return domain if domain.bounded else None

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.periods)

    @cached_property
    def bounded(self) -> list[int]:
        """The coordinates with a period or walls."""
        return [j for j in range(self.dimension) if self.periods[j] or self.walls[j] is not None]

    @cached_property
    def circles(self) -> list[int]:
        """The coordinates with a period."""
        return [j for j in self.bounded if self.periods[j]]

    @cached_property
    def intervals(self) -> list[tuple[int, float, float]]:
        """(j, a, b) of the coordinates with walls."""
        return [(j, *pair) for j, pair in enumerate(self.walls) if pair is not None]

    def shift(self, j: int, like: Tensor) -> Tensor:
        """L e for the periodic coordinate j, (d,)."""
        step = like.new_zeros(self.dimension)
        step[j] = self.periods[j]
        return step

    def folded(self, z: Tensor) -> Tensor:
        """The points z, (n, d), in the domain: in [0, L) on circles, and reflected at walls as
        often as it takes."""
        columns = list(z.unbind(1))
        for j in self.circles:
            columns[j] = columns[j].remainder(self.periods[j])
        for j, a, b in self.intervals:
            place = (columns[j] - a).remainder(2 * (b - a))
            inside = (columns[j] >= a) & (columns[j] <= b)  # to the bit as they are
            columns[j] = torch.where(
                inside, columns[j], a + torch.minimum(place, 2 * (b - a) - place)
            )
        return torch.stack(columns, 1)

    def contains(self, z: Tensor) -> Tensor:
        """Whether z lies in [0, L) on circles, and between the walls, (n, d) → (n,)."""
        inside = torch.ones_like(z[:, 0], dtype=torch.bool)
        for j in self.circles:
            inside &= (z[:, j] >= 0) & (z[:, j] < self.periods[j])
        for j, a, b in self.intervals:
            inside &= (z[:, j] >= a) & (z[:, j] <= b)
        return inside

    def flows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities a_j(z_j), (n, d), that the domain allows, and their derivatives, (n, d), in
        the bounded coordinates: a sine on circles, and a parabola that is 0 at walls. They are 0
        in the others."""
        velocity, slope = torch.zeros_like(z), torch.zeros_like(z)
        for j in self.circles:
            rate = 2 * math.pi / self.periods[j]
            velocity[:, j], slope[:, j] = (rate * z[:, j]).sin() / rate, (rate * z[:, j]).cos()
        for j, a, b in self.intervals:
            x = z[:, j]
            velocity[:, j], slope[:, j] = (x - a) * (b - x) / (b - a), (a + b - 2 * x) / (b - a)
        return velocity, slope


def _pair(given: Sequence[float] | None, j: int) -> Walls | None:
    if given is None or not len(given):
        return None
    if len(given) != 2 or not all(map(math.isfinite, given)) or not given[0] < given[1]:
        raise InputError(
            f"the walls of coordinate {j} must be two finite numbers, the lower one first, or "
            f"none, got {list(given)}"
        )
    return float(given[0]), float(given[1])
