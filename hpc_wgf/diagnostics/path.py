"""The path of the parameters between two computed points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..maps import MapState
from .look import Look


@dataclass(frozen=True)
class PathPoint:
    """A map of the path, its velocity, and what the judge has found there."""

    map: MapState
    velocity: Tensor | None
    """θ', (p,); None where the method has none."""
    look: Look


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
