"""The one-dimensional Fokker–Planck equation on a circle or between walls, and the map of its flow.

    ∂ₜρ = −∂ₓj,   j = −v'ρ − β ∂ₓρ

Chang–Cooper fluxes on N cells preserve the mass and e^{−v/β} exactly, and make the matrix A of
ρ' = Aρ symmetric in the inner product of e^{v/β}: it is diagonalised, so that there is no error of
time stepping. Between walls no flux passes either end. On a circle, particles that pass the point 0
are counted: with

    M(t, x) = ∫₀ˣ ρ(t) − ∫₀ᵗ j(s, 0) ds,   ∂ₜM = −j(t, x),   M(t, x + L) = M(t, x) + 1,

particles keep the value of M, and the map of the flow is z ↦ M_t⁻¹(M_0(z)).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .quantile import bernoulli

CELLS = 768
"""Default number of cells."""
_IMAGES = 10.0  # deviations from the mean within which images of the start count
_TURNS = 3  # periods on either side of the first, up to which particles are followed


class BoundedFlow:
    """z ↦ M_t⁻¹(M_0(z)) from the wrapped or reflected N(m, σ²), of second order in the width of
    the cells. The result is NaN where e^{−v/β} leaves the range of numbers."""

    def __init__(
        self, v: Callable[[Tensor], Tensor], beta: float, mean: float, deviation: float, *,
        low: float, high: float, periodic: bool, cells: int = CELLS,
    ) -> None:  # fmt: skip
        """Potential `v`, (n,) → (n,), diffusion coefficient `beta` > 0, `mean` m, `deviation` σ.
        `low`, `high`: the walls, or with `periodic` 0 and the period."""
        self._law = mean, deviation
        self._low, self._high, self._periodic = low, high, periodic
        self._faces = np.linspace(low, high, cells + 1)
        self._width = (high - low) / cells
        centres = 0.5 * (self._faces[1:] + self._faces[:-1])
        values = v(torch.from_numpy(centres)).numpy() / beta
        start = np.diff(self._start_mass(self._faces)) / self._width
        self._solve(values, beta, start)

    def _solve(self, w: np.ndarray, beta: float, start: np.ndarray) -> None:
        """Diagonalise the matrix for the values `w` of v/β: with right eigenvectors R,
        ρ(t) = R e^{λt} c."""
        following = np.roll(w, -1) - w  # the last one across the point 0
        forward, backward = (
            beta / self._width**2 * bernoulli(sign * following) for sign in (1.0, -1.0)
        )
        if not self._periodic:
            forward[-1] = backward[-1] = 0.0
        matrix = np.diag(-(forward + np.roll(backward, 1)))
        here = np.arange(len(w))
        there = np.roll(here, -1)
        with np.errstate(over="ignore"):
            root = np.exp(-0.5 * (w - w.min()))
        # forward_i π_i = backward_i π_{i+1} for π = e^{−w}: symmetric after scaling by π^½.
        coupling = np.sqrt(forward * backward)
        matrix[here, there] += coupling
        matrix[there, here] += coupling
        self._rates, vectors = np.linalg.eigh(matrix)
        self._vectors = root[:, None] * vectors
        self._coefficients = vectors.T @ (start / root)
        # j at the point 0, of every eigenvector.
        self._flux = self._width * (
            forward[-1] * self._vectors[-1] - backward[-1] * self._vectors[0]
        )

    def density(self, t: float) -> np.ndarray:
        """Cell averages of ρ(t), (cells,)."""
        return np.asarray(self._vectors @ (np.exp(self._rates * t) * self._coefficients))

    def _start_mass(self, x: np.ndarray) -> np.ndarray:
        """M_0(x) for x in the domain."""
        mean, deviation = self._law
        side = self._high - self._low
        turn = side if self._periodic else 2 * side
        reach = _IMAGES * deviation + abs(mean - self._low) + side
        total = np.zeros_like(x)
        for k in range(-int(reach / turn) - 1, int(reach / turn) + 2):
            total += self._between(self._low + k * turn, x + k * turn)
            if not self._periodic:  # and what is reflected at the lower wall
                mirrored = 2 * self._low - x
                total += self._between(mirrored + k * turn, self._low + k * turn)
        return total

    def _between(self, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
        """The mass of N(m, σ²) in [low, high]."""
        mean, deviation = self._law
        ends = [scipy.special.ndtr((end - mean) / deviation) for end in (low, high)]
        return np.asarray(ends[1] - ends[0])

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """The images of z, (n,) → (n,) in float64."""
        z = z.double()
        if t == 0.0:
            return z
        side, x = self._high - self._low, z.numpy()
        turns = np.floor((x - self._low) / side) if self._periodic else np.zeros_like(x)
        mass = np.concatenate([[0.0], np.cumsum(self.density(t)) * self._width])
        faces = self._faces
        if self._periodic:
            passed = self._flux * self._coefficients
            exponent = self._rates * t
            slow = np.abs(exponent) < 1e-8
            safe = np.where(slow, 1.0, self._rates)
            mass -= (passed * np.where(slow, t, np.expm1(exponent) / safe)).sum()
            offsets = range(-_TURNS, _TURNS + 1)
            faces = np.concatenate([faces[:-1] + k * side for k in offsets])
            mass = np.concatenate([mass[:-1] + k for k in offsets])
        if not np.isfinite(mass).all():
            return torch.full_like(z, torch.nan)
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(mass)) > 0])
        inverse = scipy.interpolate.PchipInterpolator(mass[rising], faces[rising])
        wanted = self._start_mass(x - turns * side)
        if not self._periodic:
            wanted = np.clip(wanted, mass[0], mass[rising][-1])
        return torch.from_numpy(inverse(wanted) + turns * side)
