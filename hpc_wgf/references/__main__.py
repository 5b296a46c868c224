"""Computing the stored reference solutions: `python -m hpc_wgf.references [NAME …]`.

Those by finite volumes are computed on two grids, the second of half as many cells along each axis,
and stored with the difference of the two solutions. All have the exponent m = 3. Those of the
porous medium equation have the factor c = 1 and no interaction. `kalman-elliptic` is the posterior
of the elliptic inverse problem, `kalman-elliptic-near` its flow by particles.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.special import ndtr

from ..errors import InputError, WgfError
from .elliptic import store_langevin, store_posterior
from .finite_volume import Evolution, GradientFlow, Grid, coarsened, evolve, product_averages

Array = np.ndarray
_TRACERS = 2000
_SEED = 20150
# The components' weights, means (the same along every axis) and variances.
_MIXTURE = ((0.2, 0.0, 0.1), (0.8, 2.0, 0.2))


@dataclass(frozen=True)
class Reference:
    """A problem, the grid on which it is solved, and what is stored of the solution."""

    grid: Grid
    """The grid of the more accurate solution."""
    averages: Callable[[Grid], Array]
    """Cell averages of the start density on a grid, up to a constant factor."""
    draw: Callable[[np.random.Generator, int], Array]
    """Draws k samples of the start density, (k, d)."""
    times: tuple[float, ...]
    """The times that are stored, the start first."""
    join: int
    """Factor by which the density is coarsened along each axis before it is stored."""
    tracers_every: int = 1
    """Tracers are stored at the first time and at every `tracers_every`-th after it."""
    diffusion: float = 1.0
    """The factor c of the internal energy."""
    kernel: Callable[..., Array] | None = None
    """The interaction kernel W, a function of d coordinate arrays; None for no interaction."""
    glance: tuple[float, ...] = ()
    """Times at which the energy on the coarser grid is printed, to see how the flow goes on."""

    def solve(self, grid: Grid, times: tuple[float, ...], z: Array | None = None) -> Evolution:
        """The solution at `times` on `grid`, with tracers from the points z, (k, d)."""
        flow = GradientFlow(grid, exponent=3.0, diffusion=self.diffusion, kernel=self.kernel)
        rho = self.averages(grid)
        return evolve(flow, rho / (rho.sum() * grid.volume), times, z)

    def samples(self) -> Array:
        """Samples of the start density, (k, d) in float64. They are rounded to float32, in which
        they are stored, so that the tracers start exactly at the stored points."""
        z = self.draw(np.random.default_rng(_SEED), _TRACERS)
        return z.astype(np.float32).astype(np.float64)


def _mixture_averages(grid: Grid) -> Array:
    total = np.zeros(grid.cells)
    for weight, mean, variance in _MIXTURE:
        cumulated = partial(_normal_cdf, mean=mean, deviation=variance**0.5)
        total += weight * product_averages(grid, [cumulated] * grid.dimension)
    return total


def _normal_cdf(x: Array, mean: float, deviation: float) -> Array:
    return np.asarray(ndtr((x - mean) / deviation))


def _mixture_samples(rng: np.random.Generator, count: int, dimension: int) -> Array:
    weights, means, variances = np.array(_MIXTURE).T
    component = rng.choice(len(weights), size=count, p=weights)
    noise = rng.standard_normal((count, dimension))
    return np.asarray(means[component, None] + variances[component, None] ** 0.5 * noise)


def _trapezoid_averages(grid: Grid, half: float, ramp: float) -> Array:
    cumulated = partial(_trapezoid_cdf, half=half, ramp=ramp)
    return product_averages(grid, [cumulated] * grid.dimension)


def _trapezoid_cdf(x: Array, half: float, ramp: float) -> Array:
    """Distribution function of U[−half, half] + U[−ramp, ramp], a sum of independent variables, for
    ramp ≤ half."""

    def risen(s: Array) -> Array:
        if ramp == 0.0:
            return np.maximum(s, 0.0)
        return np.where(s >= ramp, s, np.clip(s + ramp, 0.0, None) ** 2 / (4 * ramp))

    return (risen(x + half) - risen(x - half)) / (2 * half)


def _trapezoid_samples(
    rng: np.random.Generator, count: int, dimension: int, half: float, ramp: float
) -> Array:
    box = rng.uniform(-half, half, (count, dimension))
    return np.asarray(box + rng.uniform(-ramp, ramp, (count, dimension)))


def _gaussian_attraction(x: Array, y: Array) -> Array:
    return np.asarray(-np.exp(-(x**2) - y**2) / np.pi)


def _mixture(dimension: int, low: float, high: float, cells: int, join: int) -> Reference:
    grid = Grid((low,) * dimension, (high,) * dimension, (cells,) * dimension)
    draw = partial(_mixture_samples, dimension=dimension)
    return Reference(grid, _mixture_averages, draw, (0.0, 0.25, 0.5, 0.75, 1.0), join)


def _trapezoid_1d(half: float, ramp: float) -> Reference:
    return Reference(
        Grid((-2.4,), (2.4,), (1440,)),  # The trapezoid's corners are faces of both grids.
        partial(_trapezoid_averages, half=half, ramp=ramp),
        partial(_trapezoid_samples, dimension=1, half=half, ramp=ramp),
        (0.0, 0.25, 0.5, 0.75, 1.0),
        join=6,
    )


REFERENCES = {
    "porous-mixture-1d": _mixture(1, -2.5, 5.5, cells=1600, join=8),
    "porous-mixture-2d": _mixture(2, -1.9, 4.7, cells=320, join=5),
    "porous-box-1d": _trapezoid_1d(1.0, 0.0),
    "porous-ramp-1d": _trapezoid_1d(1.0, 0.05),
    "aggregation-diffusion-2d": Reference(
        Grid((-3.6, -3.6), (3.6, 3.6), (360, 360)),
        partial(_trapezoid_averages, half=3.0, ramp=0.25),
        partial(_trapezoid_samples, dimension=2, half=3.0, ramp=0.25),
        tuple(float(t) for t in range(0, 61, 5)),
        join=9,
        tracers_every=2,
        diffusion=0.1,
        kernel=_gaussian_attraction,
        glance=(0.0, 60.0, 80.0, 100.0, 150.0, 200.0),
    ),
}


def compute(reference: Reference, path: Path) -> None:
    """Solve one reference problem on both grids, store the solution as a NumPy archive at `path`,
    and print its energies and the difference to the coarser grid."""
    began = time.perf_counter()
    z = reference.samples()
    fine = reference.solve(reference.grid, reference.times, z)
    coarse = reference.solve(reference.grid.coarser(), reference.times, z)
    seconds = time.perf_counter() - began
    tracer_error = _root_mean_square(fine.tracers[-1] - coarse.tracers[-1])
    energy_error = float(np.abs(fine.energy - coarse.energy).max())
    np.savez_compressed(
        path,
        times=fine.times,
        z=z.astype(np.float32),
        tracer_times=fine.times[:: reference.tracers_every],
        x=fine.tracers[:: reference.tracers_every].astype(np.float32),
        energy=fine.energy,
        second_moment=fine.second_moment,
        mean=fine.mean,
        density=np.stack([coarsened(r, reference.join) for r in fine.density]).astype(np.float32),
        low=np.array(reference.grid.low),
        high=np.array(reference.grid.high),
        cells=np.array(reference.grid.cells),
        tracer_error=np.array(tracer_error),
        energy_error=np.array(energy_error),
    )
    print(
        f"{path.stem}: {seconds:.0f} s, {fine.steps} steps, {path.stat().st_size / 1000:.0f} kB; "
        f"to half the cells: tracers {tracer_error:.1e}, energy {energy_error:.1e}"
    )
    _print_energies(fine)
    if reference.glance:
        grid = reference.grid.coarser()
        print(f"  on {' × '.join(map(str, grid.cells))} cells, not stored")
        _print_energies(reference.solve(grid, reference.glance))


def _root_mean_square(difference: Array) -> float:
    """(E|x|²)^½ over points x, (k, d)."""
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def _print_energies(evolution: Evolution) -> None:
    for t, energy, second in zip(
        evolution.times, evolution.energy, evolution.second_moment, strict=True
    ):
        print(f"  t = {t:<6g} energy {energy:.6f}  E|x|² {second:.6f}")


COMPUTED: dict[str, Callable[[Path], None]] = {
    **{name: partial(compute, reference) for name, reference in REFERENCES.items()},
    "kalman-elliptic": store_posterior,
    "kalman-elliptic-near": store_langevin,
}
"""What computes a reference solution, and stores it at a path."""


def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME …]", help="all by default")
    ] = None,
    out: Annotated[Path, typer.Option(help="the folder to write to")] = Path("data/references"),
) -> None:
    """Compute reference solutions and store each in OUT/NAME.npz."""
    unknown = sorted(set(names or []) - set(COMPUTED))
    if unknown:
        raise InputError(f"no reference named {unknown[0]!r}; there are {', '.join(COMPUTED)}")
    out.mkdir(parents=True, exist_ok=True)
    for name in names or COMPUTED:
        COMPUTED[name](out / f"{name}.npz")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except WgfError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error
