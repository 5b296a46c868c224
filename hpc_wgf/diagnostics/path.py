"""The path of the parameters between two computed points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor

from ..maps import MapState
from .look import Look


@dataclass(frozen=True)
class PathPoint:
    """A map of the path, its velocity, and what the judge has found there."""

    map: MapState
    velocity: Tensor | None
    """θ', (p,); None where the method has none."""
    look: Look | None
    """None where the judge has not looked."""


def hermite(
    begun: PathPoint, reached: PathPoint, step: float
) -> tuple[MapState, tuple[Tensor, Tensor, Tensor]]:
    """The middle of the cubic Hermite polynomial of a step, and its slopes at the beginning, in
    the middle and at the end; a straight line where there are no velocities."""
    apart = (reached.map.theta - begun.map.theta) / step
    if begun.velocity is None or reached.velocity is None:
        return begun.map.moved(begun.map.theta + 0.5 * step * apart), (apart, apart, apart)
    first, last = begun.velocity, reached.velocity
    middle = begun.map.theta + 0.5 * step * apart + step / 8 * (first - last)
    return begun.map.moved(middle), (first, 1.5 * apart - 0.25 * (first + last), last)


def between(
    begun: PathPoint, reached: PathPoint, step: float, pieces: int
) -> Sequence[tuple[PathPoint, PathPoint]]:
    """The cubic Hermite polynomial of a step, cut into equal pieces: where each begins and ends. A
    velocity that is not known at one end is that of the parabola through the other."""
    apart = (reached.map.theta - begun.map.theta) / step
    known = [velocity for velocity in (begun.velocity, reached.velocity) if velocity is not None]
    other = 2 * apart - known[0] if known else apart
    first, last = (other if each.velocity is None else each.velocity for each in (begun, reached))

    def at(share: float) -> PathPoint:
        a, b = (1 - share) ** 2 * share, (1 - share) * share**2
        bent = share**2 * (3 - 2 * share)
        theta = begun.map.theta + step * (bent * apart + a * first - b * last)
        slope = (
            6 * share * (1 - share) * apart
            + (1 - share) * (1 - 3 * share) * first
            + share * (3 * share - 2) * last
        )
        return PathPoint(begun.map.moved(theta), slope, None)

    ends = replace(begun, velocity=first), replace(reached, velocity=last)
    inner = [at(k / pieces) for k in range(1, pieces)]
    return list(pairwise([ends[0], *inner, ends[1]]))
