"""The flow of a separable potential from independent Gaussian coordinates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..periods import Periods
from .circle_flow import CELLS, CircleFlow
from .densities import Gaussian
from .matrices import diagonal_of
from .potentials import Potential
from .quantile import CoordinateFlow

_RESOLVED = 1e-3  # largest error of a map found on a grid, relative to the displacement
_Coordinate = Callable[[float, Tensor], Tensor]
_Pair = tuple[_Coordinate, _Coordinate]


class SeparableFlow:
    """x_j = Q_j(t, Φ((z_j − m_j)/σ_j)): the flow of V(x) = Σ_j v_j(x_j) with diffusion β from
    independent Gaussian coordinates N(m_j, σ_j²).

    Φ is the normal distribution function, and Q_j(t, ·) the quantile function of the solution of
    the one-dimensional equation for coordinate j, computed by `CoordinateFlow`. The result is NaN
    at times when the grid does not resolve the flow, that is, when the map on a grid of half the
    cells differs by more than 1/1000 of the displacement, and at times when the grid does not hold
    the density, as when the potential does not confine it.
    """

    def __init__(
        self, potential: Potential, beta: float, start: Gaussian, periods: Periods | None = None
    ):
        """`potential`: V, separable. `beta`: β > 0. `start`: a Gaussian with diagonal covariance;
        it is wrapped round circles where there are `periods`."""
        variances = diagonal_of(start.covariance, start.dimension)
        assert variances is not None
        self._coordinates: list[_Pair] = []
        # Coordinates are the same if their functions v_j are, or else all values of v_j in use:
        # their equation is then solved once.
        by_function: dict[tuple[Callable[[Tensor], Tensor], float, float], _Pair] = {}
        by_values: dict[str, _Pair] = {}
        laws = zip(start.mean.tolist(), variances.sqrt().tolist(), strict=True)
        for j, (mean, deviation) in enumerate(laws):
            v = potential.coordinate(j)
            assert v is not None
            if periods is not None and (length := periods.lengths[j]):
                fine, coarse = (
                    CircleFlow(v, beta, mean, deviation, length, cells)
                    for cells in (CELLS, CELLS // 2)
                )
                self._coordinates.append((fine, coarse))
                continue
            key = (v, mean, deviation)
            if key not in by_function:
                flow = CoordinateFlow(v, beta, mean, deviation)
                if flow.digest not in by_values:
                    by_values[flow.digest] = flow, flow.coarser(v, beta)
                by_function[key] = by_values[flow.digest]
            self._coordinates.append(by_function[key])

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        columns = zip(self._coordinates, z.unbind(1), strict=True)
        pairs = [(fine(t, column), coarse(t, column)) for (fine, coarse), column in columns]
        fine, coarse = (torch.stack(columns, 1) for columns in zip(*pairs, strict=True))
        # The difference is not divided by 3, as for a second-order method: where diffusion is weak
        # on the grid, the order is one.
        error = (fine - coarse).norm()
        resolved = bool(error <= _RESOLVED * (fine - z).norm())
        return fine if resolved else torch.full_like(fine, torch.nan)
