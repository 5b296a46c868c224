"""What pictures show of a run: samples at a time, computed and exact, and densities on meshes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..analysis import MapAt, Trajectory
from ..errors import InputError
from ..kinds import check_number
from ..problems import Paraboloid
from ..problems.self_similar import BarenblattFlow
from ..report import Summary
from ..store import StoredRun

SAMPLES = 2000
_MESH = {1: 801, 2: 121}
_MARGIN = 0.25  # of the width of the samples, beyond them on each side


@dataclass(frozen=True)
class Mesh:
    """A density at the images of a regular mesh of start points."""

    x: np.ndarray
    """(k, 1) on the line, (k, k, 2) in the plane."""
    density: np.ndarray
    """ρ(x), (k,) or (k, k); not-a-number where it is not known."""


@dataclass(frozen=True)
class Subject:
    """A run that is drawn."""

    run: StoredRun
    trajectory: Trajectory | None
    """Its maps; None where the store alone is at hand: there are no densities and no exact solution
    then, and no times between the stored ones."""
    why_not: str = ""
    """Why there is none."""

    def __post_init__(self) -> None:
        if not len(self.run.particle_times):
            raise InputError(f"{self.run.path} has no committed row to draw")

    @cached_property
    def summary(self) -> Summary:
        """The figures of the run."""
        return Summary.of_store(self.run)

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.run.attributes["dimension"])

    @cached_property
    def shown(self) -> np.ndarray:
        """Which of the first particles to show, (…,) bool: all, or of those with importance weights
        w every one with probability w over the largest, which are then distributed as ρ."""
        log_weight = self.run.log_weight(slice(SAMPLES))
        if log_weight is None:
            return np.ones(min(SAMPLES, self.run.group["particles"].shape[1]), dtype=bool)
        chance = np.exp(log_weight - log_weight.max())
        return np.random.default_rng(0).random(len(chance)) < chance

    @cached_property
    def z(self) -> np.ndarray:
        """The start samples whose images are shown, (n, d)."""
        return self.run.particles(0, slice(len(self.shown)))[self.shown].astype(float)

    def default_times(self, count: int = 3) -> list[float]:
        """The first, the last, and stored times between them, more of them early: flows slow
        down."""
        times = self.run.particle_times
        wanted = times[0] + np.linspace(0, 1, count) ** 1.5 * (times[-1] - times[0])
        rows = sorted({int(np.argmin(np.abs(times - time))) for time in wanted})
        return [float(times[row]) for row in rows]

    def _row(self, time: float) -> int | None:
        times = self.run.particle_times
        row = int(np.argmin(np.abs(times - time)))
        return row if abs(times[row] - time) <= 1e-9 * max(1.0, abs(time)) else None

    def points(self, time: float) -> np.ndarray:
        """The images of `z` at a time, (n, d).

        Errors: `InputError` for a time outside of the run, or one between rows where no maps are
        at hand."""
        check_number(time, "a time")
        if (row := self._row(time)) is not None:
            return self.run.particles(row, slice(len(self.shown)))[self.shown].astype(float)
        if self.trajectory is None:
            raise InputError(
                f"{self.run.path} has no particles at t = {time:g}, and its maps cannot be "
                f"evaluated: {self.why_not}"
            )
        return self.map_at(time).push(self.z)

    def map_at(self, time: float) -> MapAt:
        """T(t)."""
        assert self.trajectory is not None
        return self.trajectory.map_at(time)

    def exact_points(self, time: float) -> np.ndarray | None:
        """The images of `z` under the exact map; None where that is not known."""
        return self._exact(time, torch.from_numpy(self.z))

    def _exact(self, time: float, z: torch.Tensor) -> np.ndarray | None:
        if self.trajectory is None or (exact := self.trajectory.spec.problem.exact) is None:
            return None
        found = exact(time - self.trajectory.spec.problem.start_time, z)
        return found.numpy() if bool(found.isfinite().all()) else None

    @cached_property
    def _start_mesh(self) -> tuple[list[np.ndarray], torch.Tensor]:
        """The mesh of start points, along each axis and as points, (k^d, d)."""
        low, high = self.z.min(0), self.z.max(0)
        margin = _MARGIN * (high - low)
        count = _MESH[self.dimension]
        along = [np.linspace(a, b, count) for a, b in zip(low - margin, high + margin, strict=True)]
        points = np.stack(np.meshgrid(*along, indexing="ij"), -1).reshape(-1, self.dimension)
        return along, torch.from_numpy(points)

    def mesh(self, time: float) -> Mesh | None:
        """The computed density in one or two dimensions; None in more, and without maps."""
        if self.trajectory is None or self.dimension not in _MESH:
            return None
        along, z = self._start_mesh
        x, log_density = self.map_at(time).image(z)
        shape = [len(each) for each in along]
        return Mesh(
            x.numpy().reshape(*shape, self.dimension), log_density.exp().numpy().reshape(shape)
        )

    def exact_mesh(self, time: float) -> Mesh | None:
        """The exact density, λ(z) over the change of volume, which is found by differences of the
        exact map on the mesh; None where that map is not known."""
        if self.trajectory is None or self.dimension not in _MESH:
            return None
        along, z = self._start_mesh
        if (found := self._exact(time, z)) is None:
            return None
        shape, d = [len(each) for each in along], self.dimension
        x = found.reshape(*shape, d)
        slopes = [np.gradient(x[..., i], *along) for i in range(d)]
        gradient = np.stack(slopes, 0)[..., None] if d == 1 else np.array(slopes)
        volume = np.linalg.det(np.moveaxis(gradient.reshape(d, d, *shape), (0, 1), (-2, -1)))
        log_start = self.trajectory.spec.problem.start.log_density(z).numpy().reshape(shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.where(volume > 0, np.exp(log_start) / volume, np.nan)
        return Mesh(x, density)

    def edges(self, time: float, axes: list[int]) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The edge of a compact support in a plane of two `axes`, computed and exact, (k, 2) each:
        the images of the start's edge. None where the start has none, or it is not seen."""
        if self.trajectory is None or len(axes) < 2:
            return None
        problem = self.trajectory.spec.problem
        start, round_ = problem.start, isinstance(problem.exact, BarenblattFlow)
        if not isinstance(start, Paraboloid) or not (self.dimension == 2 or round_):
            return None
        angle = torch.linspace(0, 2 * torch.pi, 361, dtype=torch.float64)
        circle = start.centre.repeat(len(angle), 1)
        circle[:, axes[0]] += start.radius * angle.cos()
        circle[:, axes[1]] += start.radius * angle.sin()
        exact = self._exact(time, circle)
        computed = self.map_at(time).push(circle).numpy()[:, axes]
        return computed, None if exact is None else exact[:, axes]
