"""The one-dimensional Fokker–Planck equation by finite volumes, and its quantile map.

    ∂ₜρ = ∂ₓ(v'ρ + β ∂ₓρ)
Chang–Cooper fluxes keep mass and the stationary state e^{−v/β} exactly (J. S. Chang, G. Cooper,
J. Comput. Phys. 6 (1970) 1); Crank–Nicolson in time, whose steps grow with it from the start's own
time scale, after four implicit Euler steps that damp what the first one excites (R. Rannacher,
Numer. Math. 43 (1984) 309).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import scipy  # its parts are imported when first used: every rank of every job starts with this
import torch
from torch import Tensor

_TAIL = 6.5  # standard deviations of the start that the grid resolves
_WIDEST = 1000.0  # widest window, over the start's, for potentials that confine nothing
_STEP = 5e-4  # the longest, in units of time
_LATE = 5e-3  # of the growth: what steps may be of the time passed however long that is
_FIRST = 1e-3  # the first step, in units of the start's own time
_TRUSTED = 5.5  # normal quantiles up to which the cumulated mass is free of rounding


class CoordinateFlow:
    """z ↦ Q_t(Φ((z − m)/σ)) for the start N(m, σ²) of one coordinate.

    `cells`: of the grid, by default enough to resolve the start. `step`, `growth`: the largest
    time step, absolute (by default 5e-4, or more for a start that changes slowly) and as a share
    of the time passed; after long times the first gives way. The error falls with the square of
    all, but with `cells` alone where diffusion is weak on the grid, as fluxes are then upwind.
    Times are computed when first asked for and kept.
    """

    def __init__(
        self, v: Callable[[Tensor], Tensor], beta: float, mean: float, deviation: float, *,
        cells: int | None = None, step: float | None = None, growth: float = 0.02,
    ):  # fmt: skip
        self._mean, self._deviation = mean, deviation
        own = self._own_time(v, beta)
        self._step, self._growth = step or max(_STEP, own / 64), growth
        self._times = [0.0, _FIRST * own]  # after 0, 1, 2, … steps
        low, high = self._domain(v, beta)
        if cells is None:
            cells = int(min(20_000, max(2400, 60 * (high - low) / deviation)))
        self.faces = np.linspace(low, high, cells + 1)
        self._dx = (high - low) / cells
        centres = 0.5 * (self.faces[1:] + self.faces[:-1])
        self._bands = _chang_cooper(v(torch.from_numpy(centres)).numpy(), beta, self._dx)
        start = np.diff(scipy.special.ndtr((self.faces - mean) / deviation)) / self._dx
        self._known: dict[int, np.ndarray] = {0: start / (start.sum() * self._dx)}

    def coarser(self, v: Callable[[Tensor], Tensor], beta: float) -> CoordinateFlow:
        """The same on half the cells in steps twice as long: off by four times as much."""
        return CoordinateFlow(
            v, beta, self._mean, self._deviation,
            cells=(len(self.faces) - 1) // 2, step=2 * self._step, growth=2 * self._growth,
        )  # fmt: skip

    def _own_time(self, v: Callable[[Tensor], Tensor], beta: float) -> float:
        """In which the start changes: 1/(β/σ² + max |v''|), v'' where the start has mass."""
        half = _TAIL * self._deviation
        window = torch.linspace(self._mean - half, self._mean + half, 2001, dtype=torch.float64)
        bend = v(window).diff(n=2) / (window[1] - window[0]) ** 2
        return 1.0 / (beta / self._deviation**2 + float(bend.abs().max()))

    def _domain(self, v: Callable[[Tensor], Tensor], beta: float) -> tuple[float, float]:
        """Where the start or the stationary state e^{−v/β} has mass to speak of, in a window
        that grows until v confines that state to its inside."""
        reach = half = _TAIL * self._deviation
        while True:
            window = torch.linspace(
                self._mean - half, self._mean + half, 20001, dtype=torch.float64
            )
            values = v(window)
            likely = (values - values.min()) / beta < 0.5 * _TAIL**2
            if not bool(likely[0] | likely[-1]) or half > _WIDEST * (reach + beta**0.5):
                break
            half *= 1.5
        inside = window[likely]
        return min(float(inside[0]), self._mean - reach), max(float(inside[-1]), self._mean + reach)

    def density(self, t: float) -> np.ndarray:
        """Cell averages of ρ(t), (cells,). Whole steps from the start and one shorter one: the
        same bits whatever times were asked for before, so that a resumed run sees the same."""
        whole = self._steps_to(t)
        if whole == 0:
            return self._damped(self._known[0], t)
        rho, rest = self._at(whole), t - self._times[whole]
        return self._crank_nicolson(rho, rest) if rest > 1e-12 * t else rho

    def _steps_to(self, t: float) -> int:
        """Whole steps that end at t or before."""
        times = self._times
        while times[-1] <= t:
            longest = max(self._step, _LATE * self._growth * times[-1])
            times.append(times[-1] + min(longest, self._growth * times[-1]))
        return bisect_right(times, t * (1 + 1e-12)) - 1

    def _at(self, count: int) -> np.ndarray:
        """ρ after `count` ≥ 1 whole steps, kept."""
        if count not in self._known:
            done = max(known for known in self._known if known < count)
            rho = self._known[done]
            for k in range(done, count):
                advance = self._crank_nicolson if k else self._damped
                rho = advance(rho, self._times[k + 1] - self._times[k])
            self._known[count] = rho
        return self._known[count]

    def _damped(self, rho: np.ndarray, duration: float) -> np.ndarray:
        for _ in range(4):
            rho = self._implicit(rho, 0.25 * duration)
        return rho

    def _crank_nicolson(self, rho: np.ndarray, dt: float) -> np.ndarray:
        return self._implicit(rho + 0.5 * dt * self._apply(rho), 0.5 * dt)

    def _apply(self, rho: np.ndarray) -> np.ndarray:
        upper, diagonal, lower = self._bands
        rate = diagonal * rho
        rate[:-1] += upper[1:] * rho[1:]
        rate[1:] += lower[:-1] * rho[:-1]
        return rate

    def _implicit(self, rho: np.ndarray, dt: float) -> np.ndarray:
        matrix = -dt * self._bands
        matrix[1] += 1.0
        return np.asarray(scipy.linalg.solve_banded((1, 1), matrix, rho))

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """The exact map of this coordinate, (n,) → (n,) in float64."""
        if t == 0.0:
            return z.double()
        mass = np.clip(self.density(t), 0.0, None) * self._dx
        below = np.concatenate([[0.0], np.cumsum(mass)])
        above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
        # Normal quantiles from the nearer tail, where the cumulated mass has all its digits.
        quantile = scipy.special.ndtri
        scores = np.where(below < above, quantile(below), -quantile(above))
        keep = np.abs(scores) < _TRUSTED
        rising = np.concatenate([[True], np.diff(scores[keep]) > 0])
        known, places = scores[keep][rising], self.faces[keep][rising]
        inverse = scipy.interpolate.PchipInterpolator(known, places, extrapolate=False)
        s = (z.double().numpy() - self._mean) / self._deviation
        x = inverse(np.clip(s, known[0], known[-1]))
        # Beyond the trusted range (one sample in 10⁷) the map goes on as a straight line.
        slopes = inverse.derivative()(known[[0, -1]])
        x += slopes[0] * np.minimum(s - known[0], 0.0) + slopes[1] * np.maximum(s - known[-1], 0.0)
        return torch.from_numpy(x)


def _chang_cooper(v: np.ndarray, beta: float, dx: float) -> np.ndarray:
    """Bands (upper, diagonal, lower) of the finite-volume generator, (3, cells), no-flux ends.

    Flux at a face, with w = (v_{i+1} − v_i)/β: J = −β/dx [B(−w) ρ_{i+1} − B(w) ρ_i],
    B(w) = w/(e^w − 1); it vanishes for ρ ∝ e^{−v/β}.
    """
    w = np.diff(v) / beta
    rate = beta / dx**2
    forward, backward = rate * _bernoulli(w), rate * _bernoulli(-w)
    bands = np.zeros((3, v.size))
    bands[0, 1:] = backward  # from cell i + 1 into cell i
    bands[2, :-1] = forward  # from cell i into cell i + 1
    bands[1, :-1] -= forward
    bands[1, 1:] -= backward
    return bands


def _bernoulli(w: np.ndarray) -> np.ndarray:
    small = np.abs(w) < 1e-8
    safe = np.where(small, 1.0, w)
    with np.errstate(over="ignore"):  # then 0, as it is
        return np.where(small, 1 - 0.5 * w, safe / np.expm1(safe))
