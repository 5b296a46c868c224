"""The flow of a separable potential from independent coordinates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..periods import Periods
from .circle_flow import CELLS, CircleFlow
from .densities import Density
from .potentials import Potential
from .products import independent_coordinates
from .quantile import CoordinateFlow

_RESOLVED = 1e-3  # largest error of a map found on a grid, relative to the displacement
_Coordinate = Callable[[float, Tensor], Tensor]
_Pair = tuple[_Coordinate, _Coordinate]


class SeparableFlow:
    """x_j = Q_j(t, F_j(z_j)): the flow of V(x) = Σ_j v_j(x_j) with diffusion β from independent
    coordinates, of which each is N(m_j, σ_j²) or a mixture of such.

    F_j is the distribution function of the start, and Q_j(t, ·) the quantile function of the
    solution of the one-dimensional equation for coordinate j, computed by `CoordinateFlow`. The
    masses between quantiles are accurate to about 1e-5. The result is NaN at times when the grid
    does not resolve the flow, that is, when the map on a grid of half the cells differs by more
    than 1/1000 of the displacement, and at times when the grid does not hold the density, as when
    the potential does not confine it.
    """

    def __init__(
        self, potential: Potential, beta: float, start: Density, periods: Periods | None = None
    ):
        """`potential`: V, separable. `beta`: β > 0. `start`: a Gaussian or a mixture of Gaussians
        with independent coordinates; with `periods`, where some coordinates go round circles, a
        Gaussian that is wrapped round these."""
        laws = independent_coordinates(start)
        assert laws is not None
        self._coordinates: list[_Pair] = []
        # Coordinates are the same if their functions v_j are, or else all values of v_j in use:
        # their equation is then solved once.
        by_function: dict[tuple[Callable[[Tensor], Tensor], str], _Pair] = {}
        by_values: dict[str, _Pair] = {}
        for j, law in enumerate(laws):
            v = potential.coordinate(j)
            assert v is not None
            if periods is not None and (length := periods.lengths[j]):
                ((_, mean, deviation),) = law.components
                fine, coarse = (
                    CircleFlow(v, beta, mean, deviation, length, cells)
                    for cells in (CELLS, CELLS // 2)
                )
                self._coordinates.append((fine, coarse))
                continue
            key = (v, str(law.components))
            if key not in by_function:
                flow = CoordinateFlow(v, beta, law)
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
