"""The cells in which the one-dimensional Fokker–Planck equation is solved: how far, how fine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .line_mixture import LineMixture

_TAIL = 6.5  # half-width of the window about N(m, σ²) that holds its mass, in units of σ
_LIKELY = 0.5 * _TAIL**2  # e^{−V/β} is negligible where V/β is above its minimum by more than this
_WIDEST = 1000.0  # half-width of the largest grid, relative to that window and to β^½
_POINTS = 20_001  # at which the potential is looked at: in the window, and on either side
_FEWEST, _MOST = 2400, 20_000  # cells
_PER_DEVIATION, _PER_WELL = 180, 60  # cells per σ of the start, and per (β/v'')^½ of a well,
_EVEN = 3  # of widths that vary; as much wider where all are of one width
_GRADING = 1 / 600  # largest relative difference of the widths of two neighbouring cells


def window(start: LineMixture) -> tuple[float, float]:
    """Middle and half-width of the interval that holds the mass of the start density."""
    reach = _TAIL * start.deviations
    if start.is_normal:
        return float(start.means), float(reach)
    low, high = float((start.means - reach).min()), float((start.means + reach).max())
    return 0.5 * (low + high), 0.5 * (high - low)


def faces(
    v: Callable[[Tensor], Tensor], beta: float, start: LineMixture, cells: int | None
) -> np.ndarray:
    """The faces of the cells for the flow of potential `v`, (n,) → (n,), with diffusion `beta` from
    `start`: increasing, (cells + 1,).

    They cover all that can be reached from the window of the start, which is what is connected with
    it where v is at most its maximum there + 21β, and all where e^{−v/β} has mass, as far as v is
    finite, and at most 1000 times the window. A barrier of 21β is passed with a probability of
    e^{−21} = 7e-10.

    `cells`: their number, by default as many as resolve the start and the wells of v with cells of
    one width, if 20 000 are enough. Otherwise cells grow with the distance from start and wells."""
    x = _points(beta, *window(start))
    values = v(torch.from_numpy(x)).numpy()
    first, last = _covered(x, values, beta)
    x, values = x[first : last + 1], values[first : last + 1]
    width = _widths(x, values, beta, start)
    even = max(_FEWEST, (x[-1] - x[0]) / (_EVEN * width.min()))
    if even <= _MOST:
        x, passed = x[[0, -1]], np.array([0.0, even])
    else:  # cells up to every point
        passed = np.append(0.0, np.cumsum(np.diff(x) * 0.5 * (1 / width[1:] + 1 / width[:-1])))
    number = cells or int(min(_MOST, passed[-1])) // 2 * 2  # even: it is halved for a check
    return np.interp(np.linspace(0.0, passed[-1], number + 1), passed, x)


def _points(beta: float, middle: float, half: float) -> np.ndarray:
    """Where v is looked at: evenly spaced in the window of the start, geometrically beyond."""
    beyond = np.geomspace(half, _WIDEST * (half + beta**0.5), _POINTS)[1:]
    return middle + np.concatenate([-beyond[::-1], np.linspace(-half, half, _POINTS), beyond])


def _covered(x: np.ndarray, values: np.ndarray, beta: float) -> tuple[int, int]:
    """Numbers of the first and the last point of what the cells are to cover."""
    centre, window = _POINTS + _POINTS // 2 - 1, slice(_POINTS - 1, 2 * _POINTS - 1)
    finite = np.isfinite(values)
    first, last = _connected(finite, centre)
    if first > last:  # not even finite at the centre of the start
        return window.start, window.stop - 1
    level = values[window][finite[window]].max() + _LIKELY * beta
    low, high = _connected(finite & (values <= level), centre)
    likely = first + np.flatnonzero(
        values[first : last + 1] - values[first : last + 1].min() < _LIKELY * beta
    )
    if likely[0] > 0 and likely[-1] < len(x) - 1:  # else e^{−v/β} has no mass that is finite
        low, high = min(low, likely[0]), max(high, likely[-1])
    low, high = min(low, window.start), max(high, window.stop - 1)
    return max(low, first), min(high, last)


def _connected(allowed: np.ndarray, centre: int) -> tuple[int, int]:
    """Numbers of the first and the last of the points that are connected with `centre`, through
    `allowed` ones alone."""
    barred = np.flatnonzero(~allowed)
    place = int(np.searchsorted(barred, centre))
    low = int(barred[place - 1]) + 1 if place > 0 else 0
    high = int(barred[place]) - 1 if place < len(barred) else len(allowed) - 1
    return low, high


def _widths(x: np.ndarray, values: np.ndarray, beta: float, start: LineMixture) -> np.ndarray:
    """The wanted width of a cell at every point: σ/180 in the window of every component of the
    start, (β/v'')^½/60 at every minimum of v, and elsewhere as much more as the grading allows."""
    width = np.full(len(x), x[-1] - x[0])
    for mean, deviation in zip(start.means.tolist(), start.deviations.tolist(), strict=True):
        started = np.abs(x - mean) <= 1.001 * _TAIL * deviation
        width[started] = np.minimum(width[started], deviation / _PER_DEVIATION)
    slopes = np.diff(values) / np.diff(x)
    bend = 2 * np.diff(slopes) / (x[2:] - x[:-2])
    well = 1 + np.flatnonzero((slopes[:-1] <= 0) & (slopes[1:] >= 0) & (bend > 0))
    width[well] = np.minimum(width[well], np.sqrt(beta / bend[well - 1]) / _PER_WELL)
    climb = _GRADING * x
    forward = climb + np.minimum.accumulate(width - climb)
    return np.minimum(forward, np.minimum.accumulate((forward + climb)[::-1])[::-1] - climb)
