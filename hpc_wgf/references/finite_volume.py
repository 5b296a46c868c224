"""Nonlinear, nonlocal diffusion by finite volumes on a grid, with the map of its flow.

    ∂ₜρ = ∇·(ρ ∇ξ),   ξ = c m/(m−1) ρ^{m−1} + W∗ρ,   F = c/(m−1) ∫ρᵐ + ½ ∬ W(x−y) ρ(x) ρ(y)

In space this is the upwind scheme of J. A. Carrillo, A. Chertock, Y. Huang, Commun. Comput. Phys.
17 (2015) 233. It is of second order, conserves mass, and keeps the density positive under a bound
on the time step. In time it is the third-order strong-stability-preserving Runge–Kutta method
(S. Gottlieb, C.-W. Shu, Math. Comp. 67 (1998) 73). Tracers x' = −∇ξ(x) are integrated with the same
stages; from samples z of the start density they give the map z ↦ X(t; z) of the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

import numpy as np
from scipy import fft

from ..errors import InputError, RunError

Array = np.ndarray
_SLACK = 0.9  # length of a step relative to the proven bound
_STAGES = ((0.0, 1.0), (0.75, 0.25), (1 / 3, 2 / 3))  # weights of the step's start and Euler's step
_HALVINGS = 30  # most times that a step is halved


@dataclass(frozen=True)
class Grid:
    """A grid of equal cells over the box low ≤ x ≤ high in ℝᵈ."""

    low: tuple[float, ...]
    """The lower corner of the box, d numbers."""
    high: tuple[float, ...]
    """The upper corner of the box, d numbers."""
    cells: tuple[int, ...]
    """The number of cells along each axis, at least 4."""

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.cells) > 0:
            raise InputError("low, high and cells need one entry per axis each")
        if min(self.cells) < 4 or any(a >= b for a, b in zip(self.low, self.high, strict=True)):
            raise InputError("a grid needs low < high and at least 4 cells along each axis")

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.cells)

    @property
    def steps(self) -> tuple[float, ...]:
        """Width of a cell along each axis."""
        boxes = zip(self.low, self.high, self.cells, strict=True)
        return tuple((high - low) / n for low, high, n in boxes)

    @property
    def volume(self) -> float:
        """Volume of a cell."""
        return prod(self.steps)

    def faces(self, axis: int) -> Array:
        """Coordinates of the faces along an axis, (cells + 1,), the ends of the box included."""
        return np.linspace(self.low[axis], self.high[axis], self.cells[axis] + 1)

    def centres(self, axis: int) -> Array:
        """Coordinates of the cells' centres along an axis, (cells,)."""
        faces = self.faces(axis)
        return np.asarray(0.5 * (faces[1:] + faces[:-1]))

    def coarser(self, factor: int = 2) -> Grid:
        """The grid whose cells are `factor` cells of this one along each axis.

        Errors: `InputError` if a number of cells is not a multiple of `factor`."""
        if any(n % factor for n in self.cells):
            raise InputError(f"{self.cells} cells cannot be joined {factor} by {factor}")
        return Grid(self.low, self.high, tuple(n // factor for n in self.cells))


@dataclass(frozen=True)
class Evolution:
    """A solution at s times, the start first, on n₁ × … × n_d cells, with k tracers."""

    times: Array
    """The times, (s,)."""
    density: Array
    """Cell averages of ρ, (s, n₁, …, n_d)."""
    tracers: Array
    """Positions of the tracers, (s, k, d)."""
    energy: Array
    """F(ρ), (s,)."""
    second_moment: Array
    """E|x|², (s,)."""
    mean: Array
    """E[x], (s, d)."""
    steps: int
    """Number of time steps that were taken."""


class GradientFlow:
    """∂ₜρ = ∇·(ρ ∇ξ), ξ = c m/(m−1) ρ^{m−1} + W∗ρ, discretised in space on a grid.

    Arguments `rho` of its methods are cell averages of ρ, (n₁, …, n_d).
    """

    def __init__(
        self, grid: Grid, *, exponent: float = 2.0, diffusion: float = 0.0,
        kernel: Callable[..., Array] | None = None,
    ):  # fmt: skip
        """`exponent`: m > 1. `diffusion`: c ≥ 0. `kernel`: W as a function of d arrays of
        coordinate differences, even, and smooth enough for the midpoint rule; None for none.

        Errors: `InputError` for other values."""
        if exponent <= 1.0 or diffusion < 0.0:
            raise InputError(f"need m > 1 and c ≥ 0, got m = {exponent}, c = {diffusion}")
        self.grid, self.exponent, self.diffusion = grid, exponent, diffusion
        self._shape = tuple(fft.next_fast_len(2 * n - 1, real=True) for n in grid.cells)
        self._kernel = None if kernel is None else self._transformed(kernel)

    def _transformed(self, kernel: Callable[..., Array]) -> Array:
        """Fourier transform of W at all differences of cell centres, on the zero-padded torus."""
        offsets = []
        for length, dx in zip(self._shape, self.grid.steps, strict=True):
            index = np.arange(length)
            offsets.append(dx * np.where(index <= length // 2, index, index - length))
        values = kernel(*np.meshgrid(*offsets, indexing="ij"))
        if not np.isfinite(values).all():
            raise InputError("the kernel is not finite at all differences of centres, 0 included")
        return np.asarray(fft.rfftn(values)) * self.grid.volume

    def interaction(self, rho: Array) -> Array:
        """W∗ρ at the cell centres, (n₁, …, n_d), by fast Fourier transforms."""
        if self._kernel is None:
            return np.zeros_like(rho)
        padded = fft.irfftn(fft.rfftn(rho, self._shape) * self._kernel, self._shape)
        return np.asarray(padded)[tuple(slice(n) for n in self.grid.cells)]

    def potential(self, rho: Array) -> Array:
        """ξ at the cell centres, (n₁, …, n_d)."""
        if self.diffusion == 0.0:
            return self.interaction(rho)
        m = self.exponent
        pressure = (self.diffusion * m / (m - 1)) * rho ** (m - 1)
        return np.asarray(pressure if self._kernel is None else pressure + self.interaction(rho))

    def energy(self, rho: Array) -> float:
        """F = c/(m−1) ∫ρᵐ + ½ ∬ W(x−y) ρ(x) ρ(y), by the midpoint rule."""
        m = self.exponent
        local = self.diffusion / (m - 1) * rho**m
        return float((local + 0.5 * rho * self.interaction(rho)).sum()) * self.grid.volume

    def rate(self, rho: Array) -> tuple[Array, list[Array]]:
        """∂ₜρ of the cell averages, and the velocity −∂ξ/∂x_j at the faces between cells for each
        axis j. There are n_j − 1 such faces along axis j. The flux through the boundary of the box
        is 0."""
        xi = self.potential(rho)
        rate = np.zeros_like(rho)
        velocities = []
        for axis, dx in enumerate(self.grid.steps):
            u = np.diff(xi, axis=axis)
            u *= -1.0 / dx
            flux = _upwind(rho, u, axis)
            flux /= dx
            rate[_cut(axis, None, -1)] -= flux
            rate[_cut(axis, 1, None)] += flux
            velocities.append(u)
        return rate, velocities

    def longest_step(self, rho: Array, velocities: Sequence[Array]) -> float:
        """0.9 of the greatest Δt for which cell averages stay positive, 2d Δt max|u| ≤ Δx for the
        `velocities` u, and diffusion with D = c m max ρ^{m−1} is stable, 2 Δt D Σ_j Δx_j⁻² ≤ 1."""
        steps = self.grid.steps
        m = self.exponent
        diffusivity = self.diffusion * m * float(rho.max()) ** (m - 1)
        rates = [2 * diffusivity * sum(dx**-2 for dx in steps)]
        for u, dx in zip(velocities, steps, strict=True):
            rates.append(2 * len(steps) * max(float(u.max()), -float(u.min())) / dx)
        return _SLACK / max(*rates, 1e-300)


def evolve(
    flow: GradientFlow, rho: Array, times: Sequence[float], tracers: Array | None = None
) -> Evolution:
    """The solution of ∂ₜρ = ∇·(ρ ∇ξ) at increasing `times`, of which the first is the start.

    `rho`: cell averages of the start density, (n₁, …, n_d). `tracers`: points, (k, d), that move by
    x' = −∇ξ(x); none by default.

    Errors: `InputError` for unfit shapes, negative densities, or times that do not increase;
    `RunError` if no time step keeps the density positive.
    """
    grid = flow.grid
    x = np.zeros((0, grid.dimension)) if tracers is None else np.array(tracers, dtype=float)
    if rho.shape != grid.cells or x.ndim != 2 or x.shape[1] != grid.dimension:
        raise InputError(f"ρ {rho.shape} or tracers {x.shape} do not fit a grid of {grid.cells}")
    if rho.min() < 0.0 or any(b <= a for a, b in pairwise(times)):
        raise InputError("the start density must not be negative, and the times must rise")
    t, steps, rows = times[0], 0, []
    for target in times:
        while t < target:
            # A remainder of the size of rounding errors is not worth a step of its own.
            rho, x, dt = _step(flow, rho, x, target - t)
            t = target if target - t - dt < 1e-12 * abs(target) else t + dt
            steps += 1
        rows.append((rho, x, flow.energy(rho), *_moments(grid, rho)))
    density, places, energy, second, mean = (np.array(column) for column in zip(*rows, strict=True))
    return Evolution(np.array(times), density, places, energy, second, mean, steps)


def _step(flow: GradientFlow, rho: Array, x: Array, most: float) -> tuple[Array, Array, float]:
    """One Runge–Kutta step of length `most` or less: the new ρ and tracers, and the length.

    The bound on the length is that of the velocities at its start. The step is halved if a later
    stage, whose velocities may be larger, does not stay positive."""
    first = flow.rate(rho)
    dt = min(most, flow.longest_step(rho, first[1]))
    for _ in range(_HALVINGS):
        now, places = rho, x
        for stage, (kept, moved) in enumerate(_STAGES):
            rate, velocities = first if stage == 0 else flow.rate(now)
            places = kept * x + moved * (places + dt * _at_points(flow.grid, velocities, places))
            now = kept * rho + moved * (now + dt * rate)
            if not now.min() >= 0.0:  # written so that NaN fails too
                break
        else:
            return now, places, dt
        dt *= 0.5
    raise RunError("no time step keeps the density positive: is it finite, is the kernel smooth?")


def _at_points(grid: Grid, velocities: Sequence[Array], x: Array) -> Array:
    """Velocities at points x, (k, d) → (k, d), by multilinear interpolation between faces and
    linear extrapolation beyond the outermost ones."""
    result = np.empty_like(x)
    if x.shape[0] == 0:
        return result
    for component, u in enumerate(velocities):
        below, weights = [], []
        for axis, n in enumerate(u.shape):
            # A velocity is given at faces along its own axis and at centres along the others.
            first = 1.0 if axis == component else 0.5
            s = (x[:, axis] - grid.low[axis]) / grid.steps[axis] - first
            index = np.clip(s.astype(np.intp), 0, n - 2)
            below.append(index)
            weights.append(s - index)
        total = np.zeros(x.shape[0])
        for corner in product((0, 1), repeat=u.ndim):
            weight = np.ones(x.shape[0])
            for w, side in zip(weights, corner, strict=True):
                weight *= w if side else 1 - w
            place = tuple(index + side for index, side in zip(below, corner, strict=True))
            total += weight * u[place]
        result[:, component] = total
    return result


def _cut(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    """The index that takes start:stop along an axis."""
    return (slice(None),) * axis + (slice(start, stop),)


def _upwind(rho: Array, u: Array, axis: int) -> Array:
    """The flux ρu at the faces between cells, with ρ reconstructed from the upwind cell."""
    jumps = np.diff(rho, axis=axis)
    left, right = jumps[_cut(axis, None, -1)], jumps[_cut(axis, 1, None)]
    # `half` is the change of ρ over half a cell with the slope minmod(2 left, central, 2 right). It
    # is written in differences of ρ, not in slopes, so that rounding cannot make the reconstruction
    # negative.
    central = 0.25 * (left + right)
    half = np.zeros_like(rho)
    inner = half[_cut(axis, 1, -1)]
    np.maximum(np.minimum(np.minimum(left, right), central), 0.0, out=inner)
    inner += np.minimum(np.maximum(np.maximum(left, right), central), 0.0)
    before = (rho + half)[_cut(axis, None, -1)]
    after = (rho - half)[_cut(axis, 1, None)]
    return np.where(u > 0.0, before, after) * u


def _moments(grid: Grid, rho: Array) -> tuple[float, Array]:
    """E|x|² and E[x], (d,). Averaging over cells widens a law by Δx²/12 along each axis, which is
    subtracted (Sheppard's correction)."""
    second, mean = 0.0, np.empty(grid.dimension)
    for axis, dx in enumerate(grid.steps):
        others = tuple(k for k in range(grid.dimension) if k != axis)
        mass = rho.sum(axis=others) * grid.volume
        x = grid.centres(axis)
        mean[axis] = mass @ x
        second += float(mass @ x**2 - mass.sum() * dx**2 / 12)
    return second, mean


def cell_averages(grid: Grid, density: Callable[..., Array], points: int = 5) -> Array:
    """Averages of `density`, a function of d coordinate arrays, over the cells: (n₁, …, n_d), by
    Gauss–Legendre quadrature with `points` nodes along each axis of a cell."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    total = np.zeros(grid.cells)
    for corner in product(range(points), repeat=grid.dimension):
        axes = [
            grid.centres(axis) + 0.5 * grid.steps[axis] * nodes[i] for axis, i in enumerate(corner)
        ]
        weight = float(prod(0.5 * weights[i] for i in corner))
        total += weight * density(*np.meshgrid(*axes, indexing="ij"))
    return total


def product_averages(grid: Grid, cumulated: Sequence[Callable[[Array], Array]]) -> Array:
    """Exact averages over the cells, (n₁, …, n_d), of a density with independent coordinates, from
    the distribution functions `cumulated` of the coordinates."""
    total = np.ones(())
    for axis, function in enumerate(cumulated):
        share = np.diff(function(grid.faces(axis))) / grid.steps[axis]
        total = np.multiply.outer(total, share)
    return total


def coarsened(rho: Array, factor: int) -> Array:
    """Averages of `rho`, (n₁, …, n_d), over blocks of `factor` cells along every axis. The numbers
    of cells must be multiples of `factor`."""
    shape = [part for n in rho.shape for part in (n // factor, factor)]
    return np.asarray(rho.reshape(shape).mean(axis=tuple(range(1, 2 * rho.ndim, 2))))
