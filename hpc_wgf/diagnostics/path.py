"""The path of the parameters between two computed points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
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


_FAR = 5.0  # |θ'| over that of the chord beyond which a cubic overshoots by a tenth
_OF_CUBIC, _OF_PARABOLA = 3.0, 2.0  # slopes over the chord's up to which they are monotone


def slopes_at_ends(velocities: Sequence[Tensor | None], chord: Tensor) -> Sequence[Tensor | None]:
    """The slopes of a polynomial at its ends: θ' itself, but where one is far larger than the
    chord's. The step is then one of a stiff flow, as implicit steps make them, and both are in
    every component as steep as a monotone path allows at most (F. N. Fritsch, R. E. Carlson, SIAM
    J. Numer. Anal. 17 (1980) 238). `chord`: that of the step over its length, (p,)."""
    known = [velocity for velocity in velocities if velocity is not None]
    far = _FAR * float(chord.norm())
    if not any(float(velocity.norm()) > far for velocity in known):
        return velocities
    steepest = (_OF_CUBIC if len(known) == 2 else _OF_PARABOLA) * chord
    low, high = steepest.clamp(max=0), steepest.clamp(min=0)
    return [None if v is None else torch.minimum(torch.maximum(v, low), high) for v in velocities]


def hermite(
    begun: PathPoint, reached: PathPoint, step: float
) -> tuple[MapState, tuple[Tensor, Tensor, Tensor]]:
    """The middle of the cubic Hermite polynomial of a step, and its slopes at the beginning, in
    the middle and at the end (see `slopes_at_ends`); a straight line where there are no
    velocities."""
    apart = (reached.map.theta - begun.map.theta) / step
    if begun.velocity is None or reached.velocity is None:
        return begun.map.moved(begun.map.theta + 0.5 * step * apart), (apart, apart, apart)
    first, last = slopes_at_ends([begun.velocity, reached.velocity], apart)
    assert first is not None
    assert last is not None
    middle = begun.map.theta + 0.5 * step * apart + step / 8 * (first - last)
    return begun.map.moved(middle), (first, 1.5 * apart - 0.25 * (first + last), last)


def cubic(
    first: Tensor, last: Tensor, velocities: Sequence[Tensor | None], step: float, share: float
) -> tuple[Tensor, Tensor]:
    """Value and slope, (p,) each, after the `share` of a `step` of the cubic Hermite polynomial
    from `first` to `last` with these velocities at its ends (see `slopes_at_ends`). One that is not
    known is that of the parabola through the other; without both the polynomial is a straight
    line."""
    apart = (last - first) / step
    return _cubic(first, apart, _both_slopes(velocities, apart), step, share)


def _both_slopes(velocities: Sequence[Tensor | None], apart: Tensor) -> tuple[Tensor, Tensor]:
    """Those of the cubic at its ends."""
    ends = slopes_at_ends(velocities, apart)
    known = [velocity for velocity in ends if velocity is not None]
    other = 2 * apart - known[0] if known else apart
    begun, ended = (other if velocity is None else velocity for velocity in ends)
    return begun, ended


def _cubic(
    first: Tensor, apart: Tensor, slopes: tuple[Tensor, Tensor], step: float, share: float
) -> tuple[Tensor, Tensor]:
    begun, ended = slopes
    a, b = (1 - share) ** 2 * share, (1 - share) * share**2
    value = first + step * (share**2 * (3 - 2 * share) * apart + a * begun - b * ended)
    slope = (
        6 * share * (1 - share) * apart
        + (1 - share) * (1 - 3 * share) * begun
        + share * (3 * share - 2) * ended
    )
    return value, slope


def between(
    begun: PathPoint, reached: PathPoint, step: float, pieces: int
) -> Sequence[tuple[PathPoint, PathPoint]]:
    """The polynomial of a step (see `cubic`), cut into equal pieces: where each begins and ends."""
    apart = (reached.map.theta - begun.map.theta) / step
    slopes = _both_slopes([begun.velocity, reached.velocity], apart)
    inner = []
    for k in range(1, pieces):
        theta, slope = _cubic(begun.map.theta, apart, slopes, step, k / pieces)
        inner.append(PathPoint(begun.map.moved(theta), slope, None))
    ends = replace(begun, velocity=slopes[0]), replace(reached, velocity=slopes[1])
    return list(pairwise([ends[0], *inner, ends[1]]))
