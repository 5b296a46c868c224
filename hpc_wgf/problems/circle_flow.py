"""The one-dimensional Fokker–Planck equation on a circle by finite volumes, and its flow.

    ∂ₜρ = −∂ₓj,   j = −v'ρ − β ∂ₓρ

Chang–Cooper fluxes on N cells preserve the mass and e^{−v/β} exactly, and make the matrix A of
ρ' = Aρ symmetric in the inner product of e^{v/β}: it is diagonalised, so that there is no error of
time stepping. Particles that pass the point 0 are counted: with

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


class CircleFlow:
    """z ↦ M_t⁻¹(M_0(z)) from the wrapped N(m, σ²), of second order in the width of the cells. The
    result is NaN where e^{−v/β} leaves the range of numbers, and for particles that go round more
    than three times."""

    def __init__(
        self, v: Callable[[Tensor], Tensor], beta: float, mean: float, deviation: float,
        length: float, cells: int = CELLS,
    ) -> None:  # fmt: skip
        """Potential `v`, (n,) → (n,), of period `length` L, diffusion coefficient `beta` > 0,
        `mean` m, `deviation` σ."""
        self._law = mean % length, deviation  # Turns of the mean change nothing.
        self._length, self._width = length, length / cells
        self._faces = np.linspace(0.0, length, cells + 1)
        centres = 0.5 * (self._faces[1:] + self._faces[:-1])
        values = v(torch.from_numpy(centres)).numpy() / beta
        self._solve(values, beta, np.diff(self._start_mass(self._faces)) / self._width)

    def _solve(self, w: np.ndarray, beta: float, start: np.ndarray) -> None:
        """Diagonalise the matrix for the values `w` of v/β: with right eigenvectors R,
        ρ(t) = R e^{λt} c."""
        following = np.roll(w, -1) - w  # the last one across the point 0
        forward, backward = (
            beta / self._width**2 * bernoulli(sign * following) for sign in (1.0, -1.0)
        )
        matrix = np.diag(-(forward + np.roll(backward, 1)))
        here = np.arange(len(w))
        # forward_i π_i = backward_i π_{i+1} for π = e^{−w}: symmetric after scaling by π^½.
        coupling = np.sqrt(forward * backward)
        matrix[here, np.roll(here, -1)] += coupling
        matrix[np.roll(here, -1), here] += coupling
        self._rates, vectors = np.linalg.eigh(matrix)
        root = np.exp(-0.5 * (w - w.min()))
        self._vectors = root[:, None] * vectors
        with np.errstate(divide="ignore", invalid="ignore"):
            self._coefficients = vectors.T @ (start / root)
        # j at the point 0, of every eigenvector.
        self._flux = self._width * (
            forward[-1] * self._vectors[-1] - backward[-1] * self._vectors[0]
        )

    def density(self, t: float) -> np.ndarray:
        """Cell averages of ρ(t), (cells,)."""
        return np.asarray(self._vectors @ (np.exp(self._rates * t) * self._coefficients))

    def _start_mass(self, x: np.ndarray) -> np.ndarray:
        """M_0(x) for 0 ≤ x ≤ L."""
        mean, deviation = self._law
        reach = (_IMAGES * deviation + mean) / self._length
        total = np.zeros_like(x)
        for k in range(-int(reach) - 2, int(reach) + 3):
            low, high = ((end + k * self._length - mean) / deviation for end in (0.0, x))
            total += scipy.special.ndtr(high) - scipy.special.ndtr(low)
        return total

    def _passed(self, t: float) -> float:
        """∫₀ᵗ j(s, 0) ds."""
        exponent = self._rates * t
        slow = np.abs(exponent) < 1e-8
        duration = np.where(slow, t, np.expm1(exponent) / np.where(slow, 1.0, self._rates))
        return float((self._flux * self._coefficients * duration).sum())

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """The images of z, (n,) → (n,) in float64."""
        z = z.double()
        if t == 0.0:
            return z
        x, turns = z.numpy(), range(-_TURNS, _TURNS + 1)
        round_trips = np.floor(x / self._length)
        mass = np.concatenate([[0.0], np.cumsum(self.density(t))[:-1] * self._width])
        mass -= self._passed(t)
        if not np.isfinite(mass).all():
            return torch.full_like(z, torch.nan)
        faces = np.concatenate([self._faces[:-1] + k * self._length for k in turns])
        mass = np.concatenate([mass + k for k in turns])
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(mass)) > 0])
        inverse = scipy.interpolate.PchipInterpolator(
            mass[rising], faces[rising], extrapolate=False
        )
        images = inverse(self._start_mass(x - round_trips * self._length))
        return torch.from_numpy(images + round_trips * self._length)
