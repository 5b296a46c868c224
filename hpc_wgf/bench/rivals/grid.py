"""Grids in one and two dimensions: the Fokker–Planck equation by implicit finite volumes, and
nonlinear, nonlocal diffusion by the explicit ones of the references."""

from __future__ import annotations

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...errors import RunError
from ...interactions import Kernel
from ...problems import InternalEnergy, Potential, Problem
from ...problems.quantile import bernoulli
from ...references import GradientFlow, Grid, cell_averages, evolve
from .answer import Answer, LogDensity, Rival, start_points
from .law import cells_as_points, points_of
from .paths import EULER_MARUYAMA, rough_paths

Array = np.ndarray
_CELLS = 32  # along an axis, of the first level; twice as many in every further one
_SPANNED = 2**12  # samples that tell how far start and end go
_PATHS = 2**10  # of them, that tell the end where it is not known
_MARGIN = 0.15  # of that, added on either side


class FokkerPlanckGrid:
    """∂ₜρ = ∇·(ρ∇V + β∇ρ) on a grid: Chang–Cooper fluxes along every axis, Crank–Nicolson for each
    axis by itself, and the axes in turn as G. Strang has it, x/2 y x/2: of second order in cells
    and steps. The mass and the stationary density e^{−V/β} are kept exactly (see
    `CoordinateFlow`)."""

    def __init__(self, grid: Grid, potential: Potential | None, beta: float) -> None:
        self.grid = grid
        places = points_of([grid.centres(axis) for axis in range(grid.dimension)])
        values = np.zeros(len(places))
        if potential is not None:
            values = potential(torch.from_numpy(places)).detach().numpy()
        levels = values.reshape(grid.cells)
        self._bands = [
            _bands(np.moveaxis(levels, axis, -1), beta, width)
            for axis, width in enumerate(grid.steps)
        ]

    def evolve(self, rho: Array, span: float, steps: int) -> Array:
        """Cell averages of ρ, (n₁, …, n_d), a time `span` later."""
        dt = span / steps
        for _ in range(steps):
            if self.grid.dimension == 1:
                rho = self._along(rho, 0, dt)
                continue
            rho = self._along(self._along(self._along(rho, 0, dt / 2), 1, dt), 0, dt / 2)
        return rho

    def _along(self, rho: Array, axis: int, dt: float) -> Array:
        """One step of Crank–Nicolson of the fluxes along an axis. The lines of cells are one system
        with a tridiagonal matrix, which does not connect them."""
        lines = np.moveaxis(rho, axis, -1)
        bands, flat = self._bands[axis], np.ascontiguousarray(lines).ravel()
        rate = bands[1] * flat
        rate[:-1] += bands[0, 1:] * flat[1:]
        rate[1:] += bands[2, :-1] * flat[:-1]
        matrix = -0.5 * dt * bands
        matrix[1] += 1.0
        after = scipy.linalg.solve_banded(
            (1, 1), matrix, flat + 0.5 * dt * rate, check_finite=False, overwrite_ab=True
        )
        return np.moveaxis(after.reshape(lines.shape), -1, axis)


def _bands(values: Array, beta: float, width: float) -> Array:
    """The matrix of the fluxes along the last axis, for the `values` of V at the cells, by its
    bands, (3, cells): upper, diagonal and lower."""
    w = np.diff(values, axis=-1) / beta
    forward, backward = beta / width**2 * bernoulli(w), beta / width**2 * bernoulli(-w)
    bands = np.zeros((3, *values.shape))
    bands[0, ..., 1:] = backward  # from cell i + 1 into cell i
    bands[2, ..., :-1] = forward  # from cell i into cell i + 1
    bands[1, ..., :-1] -= forward
    bands[1, ..., 1:] -= backward
    return bands.reshape(3, -1)


def box(problem: Problem) -> tuple[Array, Array]:
    """The corners, (d,) each, of a box that holds start and end of the flow: of samples of the
    start and their images under the exact map, or else of a few Langevin paths, with a margin.
    Flows that have neither are taken to stay where they start. Errors: `RunError` where the images
    or paths are not finite."""
    z = start_points(problem, _SPANNED, 0, 3)
    points = [z.numpy()]
    if problem.exact is not None:
        points.append(problem.exact(problem.until - problem.start_time, z).numpy())
    elif not EULER_MARUYAMA.refusal(problem):
        points.append(rough_paths(problem, z[:_PATHS]).numpy())
    both = np.concatenate(points)
    if not np.isfinite(both).all():
        raise RunError("the points that tell where the flow ends are not finite")
    low, high = both.min(0), both.max(0)
    return low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def grid_over(corners: tuple[Array, Array], across: int) -> Grid:
    """The grid over a box with `across` cells along its longest side, all as good as squares."""
    low, high = corners
    sides = high - low
    cells = [max(4, round(across * side / sides.max() / 4) * 4) for side in sides]
    return Grid(tuple(low.tolist()), tuple(high.tolist()), tuple(cells))


def start_averages(problem: Problem, grid: Grid) -> Array:
    """Cell averages of the start density, of mass 1."""

    def density(*x: Array) -> Array:
        points = np.stack(x, -1).reshape(-1, len(x))
        values = problem.start.log_density(torch.from_numpy(points)).exp()
        return np.asarray(values.numpy().reshape(x[0].shape))

    rho = cell_averages(grid, density, 3)
    return np.asarray(rho / (rho.sum() * grid.volume))


def of_cells(grid: Grid, rho: Array, steps: int) -> Answer:
    """The answer of cell averages: ρ is linear between the centres of cells."""
    masses = np.clip(rho, 0.0, None) * grid.volume
    centres = [grid.centres(axis) for axis in range(grid.dimension)]
    law = cells_as_points(centres, masses / masses.sum())
    return Answer(lambda: law, rho.size, interpolated(centres, rho), steps)


def interpolated(centres: list[Array], rho: Array) -> LogDensity:
    """log ρ, multilinear between the centres of cells and 0 beyond them."""
    between = scipy.interpolate.RegularGridInterpolator(
        centres, rho, bounds_error=False, fill_value=0.0
    )

    def at(x: Tensor) -> Tensor:
        return torch.from_numpy(np.clip(between(x.numpy()), 0.0, None)).log()

    return at


def on_grid(problem: Problem, across: int) -> Answer:
    """ρ at the end on the grid of `across` cells along the longest side of `box`, in as many steps
    where they are implicit. Errors: `RunError` where it is not finite, or no step is short
    enough."""
    grid = grid_over(box(problem), across)
    rho = start_averages(problem, grid)
    if no_reversible_flow(problem):
        found = evolve(_nonlinear(problem, grid), rho, [problem.start_time, problem.until])
        rho, steps = found.density[-1], found.steps
    else:
        solver = FokkerPlanckGrid(grid, problem.energy.potential(), problem.energy.beta())
        rho, steps = solver.evolve(rho, problem.until - problem.start_time, across), across
    if not np.isfinite(rho).all():
        raise RunError("the densities on the grid are not finite")
    return of_cells(grid, rho, steps)


def _nonlinear(problem: Problem, grid: Grid) -> GradientFlow:
    """∂ₜρ = ∇·(ρ∇(c m/(m−1) ρ^{m−1} + W∗ρ)) on a grid."""
    internal = _internal(problem)
    kernels = [
        (part.factor, part.kernel)
        for part in problem.energy.interactions
        if isinstance(part.kernel, Kernel)
    ]

    def attraction(*x: Array) -> Array:
        square = torch.from_numpy(np.asarray(sum(each**2 for each in x)))
        values = [factor * kernel.value(square) for factor, kernel in kernels]
        return np.asarray(torch.stack(values).sum(0).numpy())

    return GradientFlow(
        grid, exponent=internal[0].m if internal else 2.0,
        diffusion=sum(part.factor for part in internal), kernel=attraction if kernels else None,
    )  # fmt: skip


def _internal(problem: Problem) -> list[InternalEnergy]:
    return [part for part in problem.energy.parts if isinstance(part, InternalEnergy)]


def grid_refusal(problem: Problem) -> str:
    """Why these grids do not solve a problem; "" where they do."""
    if problem.dimension > 2:
        return f"a grid in {problem.dimension} dimensions has too many cells"
    if not no_reversible_flow(problem):
        return ""
    energy, internal = problem.energy, _internal(problem)
    kernels = [part.kernel for part in energy.interactions]
    radial = [each for each in kernels if isinstance(each, Kernel) and not each.singular]
    one = len({part.m for part in internal}) <= 1
    if problem.is_plain and one and len(internal) + len(radial) == len(energy.parts):
        return ""
    return (
        "these grids know Fokker–Planck equations, and powers of ρ with radial kernels that are "
        "finite at 0"
    )


GRID = Rival(
    "cells", grid_refusal, lambda problem, level, seed: on_grid(problem, _CELLS * 2**level),
    levels=4,
)  # fmt: skip
