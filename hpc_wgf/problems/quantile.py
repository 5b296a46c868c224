"""The one-dimensional Fokker–Planck equation by finite volumes, and the map of its quantiles.

    ∂ₜρ = ∂ₓ(v'ρ + β ∂ₓρ)

Chang–Cooper fluxes preserve the mass and the stationary density e^{−v/β} exactly (J. S. Chang,
G. Cooper, J. Comput. Phys. 6 (1970) 1). The time integration is Crank–Nicolson with steps that
begin at a fraction of the start density's own time scale and grow with time. The first step is
replaced by four implicit Euler steps, which damp the high frequencies of the start (R. Rannacher,
Numer. Math. 43 (1984) 309).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .cells import faces, window
from .line_mixture import LineMixture

_STEP = 5e-4  # default longest step, in units of time
_LATE = 5e-3  # the longest step may always be this fraction of growth · t
_FIRST = 1e-3  # the first step, in units of the start's own time scale
_TRUSTED = 5.5  # normal quantiles up to which the cumulated mass is accurate
_NEGLIGIBLE = 1e-9  # mass that the first or the last cell may hold


class CoordinateFlow:
    """z ↦ Q_t(F_0(z)), Q_t the quantile function of the solution ρ(t) from a start density with the
    distribution function F_0: N(m, σ²), or a mixture of such.

    The error is of second order in cell width and step. Where diffusion is weak on the scale of a
    cell, it is of first order in the cell width, as the fluxes are then upwind. The result is NaN
    at times when the first or the last cell holds mass: the density has met the end of the grid.
    Densities are computed when first asked for and kept.
    """

    def __init__(
        self, v: Callable[[Tensor], Tensor], beta: float, start: LineMixture, *,
        cells: int | None = None, step: float | None = None, growth: float = 0.02,
    ):  # fmt: skip
        """Potential `v`, (n,) → (n,), diffusion coefficient `beta` > 0, density of the `start`.

        `cells`: number of cells of the grid, by default enough to resolve start and wells (see
        `cells.faces`). A time step at time t is at most `growth` · t and at most `step`, by default
        5e-4 or, if longer, 1/64 of the time scale on which the start density changes. At late times
        the second bound is raised to `growth` · t/200."""
        self._start = start
        own = self._own_time(v, beta)
        self._step, self._growth = step or max(_STEP, own / 64), growth
        self._times = [0.0, _FIRST * own]  # after 0, 1, 2, … steps
        self.faces = faces(v, beta, start, cells)
        self._dx = np.diff(self.faces)
        centres = 0.5 * (self.faces[1:] + self.faces[:-1])
        values = v(torch.from_numpy(centres)).numpy()
        self._bands = _chang_cooper(values, beta, np.diff(centres), self._dx)
        density = sum(
            weight * np.diff(scipy.special.ndtr((self.faces - mean) / deviation))
            for weight, mean, deviation in start.components
        ) / self._dx  # fmt: skip
        self._known: dict[int, np.ndarray] = {0: density / (density * self._dx).sum()}
        decisive = hashlib.sha256(np.array([own, beta, *np.ravel(start.components)]).tobytes())
        for array in (self.faces, values):
            decisive.update(array.tobytes())
        self.digest = decisive.hexdigest()
        """Of all that decides the flow: equal ones have equal flows."""

    def coarser(self, v: Callable[[Tensor], Tensor], beta: float) -> CoordinateFlow:
        """The same flow on half the cells in steps twice as long, with four times the error."""
        return CoordinateFlow(
            v, beta, self._start,
            cells=(len(self.faces) - 1) // 2, step=2 * self._step, growth=2 * self._growth,
        )  # fmt: skip

    def _own_time(self, v: Callable[[Tensor], Tensor], beta: float) -> float:
        """1/(β/σ² + max |v''|), v'' where the start density has mass and σ the least deviation of a
        component: the time scale on which it changes."""
        middle, half = window(self._start)
        x = torch.linspace(middle - half, middle + half, 2001, dtype=torch.float64)
        bend = v(x).diff(n=2) / (x[1] - x[0]) ** 2
        largest = float(bend.abs().nan_to_num(0.0, posinf=0.0).max())
        return 1.0 / (beta / float(self._start.deviations.min()) ** 2 + largest)

    def density(self, t: float) -> np.ndarray:
        """Cell averages of ρ(t), (cells,).

        They are computed by whole steps from the start and one shorter step. The result therefore
        does not depend on which times were asked for before, and a resumed run finds the same."""
        whole = self._steps_to(t)
        if whole == 0:
            return self._damped(self._known[0], t)
        rho, rest = self._at(whole), t - self._times[whole]
        return self._crank_nicolson(rho, rest) if rest > 1e-12 * t else rho

    def _steps_to(self, t: float) -> int:
        """Number of whole steps that end at t or before."""
        times = self._times
        while times[-1] <= t:
            longest = max(self._step, _LATE * self._growth * times[-1])
            times.append(times[-1] + min(longest, self._growth * times[-1]))
        return bisect_right(times, t * (1 + 1e-12)) - 1

    def _at(self, count: int) -> np.ndarray:
        """Cell averages of ρ after `count` ≥ 1 whole steps; they are kept."""
        if count not in self._known:
            done = max(known for known in self._known if known < count)
            rho = self._known[done]
            for k in range(done, count):
                advance = self._crank_nicolson if k else self._damped
                rho = advance(rho, self._times[k + 1] - self._times[k])
            self._known[count] = rho
        return self._known[count]

    def _damped(self, rho: np.ndarray, duration: float) -> np.ndarray:
        """ρ after four implicit Euler steps of a quarter of `duration` each."""
        for _ in range(4):
            rho = self._implicit(rho, 0.25 * duration)
        return rho

    def _crank_nicolson(self, rho: np.ndarray, dt: float) -> np.ndarray:
        return self._implicit(rho + 0.5 * dt * self._apply(rho), 0.5 * dt)

    def _apply(self, rho: np.ndarray) -> np.ndarray:
        """Aρ, the rate of change of the cell averages."""
        upper, diagonal, lower = self._bands
        rate = diagonal * rho
        rate[:-1] += upper[1:] * rho[1:]
        rate[1:] += lower[:-1] * rho[:-1]
        return rate

    def _implicit(self, rho: np.ndarray, dt: float) -> np.ndarray:
        """(I − dt A)⁻¹ρ: one implicit Euler step."""
        matrix = -dt * self._bands
        matrix[1] += 1.0
        return np.asarray(scipy.linalg.solve_banded((1, 1), matrix, rho, check_finite=False))

    def _held(self, mass: np.ndarray) -> bool:
        """Whether the grid holds the density: next to no mass in the first and the last cell."""
        return bool(np.isfinite(mass).all()) and max(abs(mass[0]), abs(mass[-1])) <= _NEGLIGIBLE

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """Q_t(F_0(z)), (n,) → (n,) in float64."""
        if t == 0.0:
            return z.double()
        mass = self.density(t) * self._dx
        if not self._held(mass):
            return torch.full_like(z, torch.nan, dtype=torch.float64)
        mass = np.clip(mass, 0.0, None)
        below = np.concatenate([[0.0], np.cumsum(mass)])
        above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
        # Mass is cumulated from the nearer end, where its sum is small and so are rounding errors.
        quantile = scipy.special.ndtri
        scores = np.where(below < above, quantile(below), -quantile(above))
        keep = np.abs(scores) < _TRUSTED
        rising = np.concatenate([[True], np.diff(scores[keep]) > 0])
        known, s = self._start_places(scores[keep][rising], z.double())
        places = self.faces[keep][rising]
        inverse = scipy.interpolate.PchipInterpolator(known, places, extrapolate=False)
        x = inverse(np.clip(s, known[0], known[-1]))
        # Beyond the trusted range, where one sample in 10⁷ lies, the map is continued linearly.
        slopes = inverse.derivative()(known[[0, -1]])
        x += slopes[0] * np.minimum(s - known[0], 0.0) + slopes[1] * np.maximum(s - known[-1], 0.0)
        return torch.from_numpy(x)

    def _start_places(self, scores: np.ndarray, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Where the faces, given by the normal `scores` of the mass below them, were at the start,
        and the samples z, both in coordinates in which the map is smooth: units of σ about m for
        N(m, σ²), and else those of x, in which gaps between components that stay open are none."""
        start = self._start
        if start.is_normal:
            return scores, (z.numpy() - float(start.means)) / float(start.deviations)
        return start.normal_quantile(torch.from_numpy(scores)).numpy(), z.numpy()


def _chang_cooper(v: np.ndarray, beta: float, apart: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """The matrix A of ρ' = Aρ by its bands (upper, diagonal, lower), (3, cells), for the values `v`
    at the centres of the cells, their distances `apart` and the widths `dx` of the cells.

    The flux at a face is J = −β/apart [B(−w) ρ_{i+1} − B(w) ρ_i] with w = (v_{i+1} − v_i)/β and
    B(w) = w/(e^w − 1). It vanishes for ρ ∝ e^{−v/β}, and at both ends of the grid.
    """
    w = np.diff(v) / beta
    forward, backward = beta / apart * bernoulli(w), beta / apart * bernoulli(-w)
    bands = np.zeros((3, v.size))
    bands[0, 1:] = backward / dx[:-1]  # from cell i + 1 into cell i
    bands[2, :-1] = forward / dx[1:]  # from cell i into cell i + 1
    bands[1, :-1] -= forward / dx[:-1]
    bands[1, 1:] -= backward / dx[1:]
    return bands


def bernoulli(w: np.ndarray) -> np.ndarray:
    """B(w) = w/(e^w − 1) of the fluxes, by its Taylor polynomial near 0."""
    small = np.abs(w) < 1e-8
    safe = np.where(small, 1.0, w)
    with np.errstate(over="ignore"):  # e^w = ∞ gives the correct limit 0.
        return np.where(small, 1 - 0.5 * w, safe / np.expm1(safe))
