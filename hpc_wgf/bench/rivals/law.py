"""Laws on ℝᵈ as weighted points, and how far apart two of them are along directions.

That is what every way of solving a flow can be asked for: quantiles of what is seen along a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_LEVELS = 4096  # at which quantiles are compared
_OBLIQUE = 16  # directions beside those of the axes
_SAME = 1e-9  # of the range: values that are taken as one, as those of cells in a column


@dataclass(frozen=True)
class Law:
    """Σ w_i δ(x − x_i)."""

    points: Array
    """x_i, (k, d)."""
    weights: Array | None = None
    """w_i > 0, (k,); None where all are the same."""

    @property
    def is_finite(self) -> bool:
        """Whether all points and weights are finite."""
        weights = True if self.weights is None else bool(np.isfinite(self.weights).all())
        return weights and bool(np.isfinite(self.points).all())

    def quantiles(self, direction: Array) -> Array:
        """Those of e·x along a `direction` e, (d,), at (j + ½)/4096: (4096,).

        Half of the mass of a point lies on either side of it, and between points the distribution
        function is linear: that of cells of a grid has an error of the order of their width
        squared."""
        values = self.points @ direction
        order = values.argsort()
        values = values[order]
        mass = np.ones(len(values)) if self.weights is None else self.weights[order]
        new = np.diff(values, prepend=-np.inf) > _SAME * (values[-1] - values[0])
        first = np.flatnonzero(new)
        mass = np.add.reduceat(mass, first) / mass.sum()
        below = np.cumsum(mass) - 0.5 * mass
        levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
        return np.asarray(np.interp(levels, below, values[first]))


def directions(dimension: int) -> Array:
    """Unit vectors, (k, d): the axes, and sixteen others, always the same, where d > 1."""
    axes = np.eye(dimension)
    if dimension == 1:
        return axes
    others = np.random.default_rng(0).standard_normal((_OBLIQUE, dimension))
    return np.concatenate([axes, others / np.linalg.norm(others, axis=1, keepdims=True)])


def quantile_table(law: Law) -> Array:
    """The quantiles of a law along all `directions`, (k, 4096)."""
    return np.stack([law.quantiles(each) for each in directions(law.points.shape[1])])


def apart(first: Array, second: Array) -> float:
    """(Σ_e W₂(e·x, e·y)²/k)^½ over k directions e, from two tables of quantiles: in units of x, and
    at most W₂ of the two laws."""
    return float(np.sqrt(np.square(first - second).mean()))


def cells_as_points(centres: Sequence[Array], masses: Array) -> Law:
    """The law of masses, (n₁, …, n_d), in the cells of a grid whose `centres` are given along each
    axis, with the cells left out in which there is none."""
    inside = masses.ravel() > 0
    return Law(points_of(centres)[inside], masses.ravel()[inside])


def points_of(centres: Sequence[Array]) -> Array:
    """The centres of all cells of a grid, (n₁ ⋯ n_d, d), from those along each axis."""
    return np.stack(np.meshgrid(*centres, indexing="ij"), -1).reshape(-1, len(centres))
