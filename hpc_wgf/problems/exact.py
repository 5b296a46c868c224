"""Exact solutions of flows, as maps z ↦ T_exact(t, z) of the start density's samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy
import torch
from torch import Tensor

from .compact import Barenblatt
from .densities import Density, Gaussian
from .energies import InternalEnergy, SumOfEnergies
from .matrices import spd_function
from .potentials import Potential, Quadratic, SumOfPotentials
from .quantile import CoordinateFlow

_RESOLVED = 1e-3  # largest error of a map found on a grid, relative to the displacement


class ExactMap(Protocol):
    """The map T_exact(t, ·) that carries samples of the start density along the exact flow."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T_exact(t, z) at time t after the start, (n, d) → (n, d), in float64."""
        ...


@dataclass(frozen=True)
class GaussianFlow:
    """The flow of V = ½(x−μ)ᵀQ(x−μ) with diffusion β from N(m₀, C₀). It stays Gaussian, with

        m(t) = μ + e^{−Qt}(m₀ − μ),   C(t) = e^{−Qt} C₀ e^{−Qt} + β Q⁻¹(I − e^{−2Qt}),

    and moves samples by x = m(t) + M(t)(z − m₀), where M' = (β C⁻¹ − Q) M, M(0) = I. If C₀ and Q
    commute, M(t) = C(t)^½ C₀^{−½}. [VWGF 4.2, with the sign of Q corrected]
    """

    potential: Quadratic
    """V, with mean μ and precision Q."""
    beta: float
    """The diffusion coefficient β ≥ 0."""
    start: Gaussian
    """The start density N(m₀, C₀)."""

    def law(self, t: float) -> tuple[Tensor, Tensor]:
        """The mean m(t), (d,), and the covariance C(t), (d, d), at time t after the start."""
        mean, precision = self.potential.mean, self.potential.precision
        decay = torch.matrix_exp(-precision * t)
        identity = torch.eye(mean.numel(), dtype=torch.float64)
        spread = self.beta * self.potential.covariance @ (identity - decay @ decay)
        covariance = decay @ self.start.covariance @ decay + spread
        return mean + decay @ (self.start.mean - mean), 0.5 * (covariance + covariance.T)

    def _matrix(self, t: float) -> Tensor:
        """M(t), (d, d)."""
        precision, start = self.potential.precision, self.start.covariance
        commutator = precision @ start - start @ precision
        if float(commutator.abs().max()) <= 1e-12 * float(precision.norm() * start.norm()):
            return spd_function(self.law(t)[1], "sqrt") @ spd_function(start, "rsqrt")
        d = start.shape[0]

        def rate(time: float, flat: np.ndarray) -> np.ndarray:
            M = torch.from_numpy(flat.reshape(d, d))
            rhs = self.beta * torch.linalg.solve(self.law(time)[1], M) - precision @ M
            return rhs.numpy().ravel()

        solve = scipy.integrate.solve_ivp
        path = solve(rate, (0.0, t), np.eye(d).ravel(), "DOP853", rtol=1e-12, atol=1e-13)
        return torch.from_numpy(path.y[:, -1].reshape(d, d))

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        return self.law(t)[0] + (z - self.start.mean) @ self._matrix(t).T


class SeparableFlow:
    """x_j = Q_j(t, Φ((z_j − m_j)/σ_j)): the flow of V(x) = Σ_j v_j(x_j) with diffusion β from
    independent Gaussian coordinates N(m_j, σ_j²).

    Φ is the normal distribution function, and Q_j(t, ·) the quantile function of the solution of
    the one-dimensional equation for coordinate j, computed by `CoordinateFlow`. The result is NaN
    at times when the grid does not resolve the flow, that is, when the map on a grid of half the
    cells differs by more than 1/1000 of the displacement.
    """

    def __init__(self, potential: Potential, beta: float, start: Gaussian):
        """`potential`: V, separable. `beta`: β > 0. `start`: a Gaussian with diagonal
        covariance."""
        Pair = tuple[CoordinateFlow, CoordinateFlow]
        self._flows: dict[tuple[object, ...], Pair] = {}
        self._coordinates: list[Pair] = []
        for j in range(start.dimension):
            v = potential.coordinate(j)
            assert v is not None
            mean, deviation = float(start.mean[j]), float(start.covariance[j, j].sqrt())
            key = (_fingerprint(v), mean, deviation)
            if key not in self._flows:
                flow = CoordinateFlow(v, beta, mean, deviation)
                self._flows[key] = flow, flow.coarser(v, beta)
            self._coordinates.append(self._flows[key])

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


def _fingerprint(v: Callable[[Tensor], Tensor]) -> tuple[float, ...]:
    """Values of v at a few points, by which coordinates with equal potentials are recognised: their
    equation is then solved once."""
    points = torch.tensor([-2.7, -1.3, -0.4, 0.3, 1.1, 2.9], dtype=torch.float64)
    return tuple(v(points).tolist())


@dataclass(frozen=True)
class BarenblattFlow:
    """x = z₀ + (z − z₀) ((t₀ + c t)/t₀)^{α/d}: the flow ∂ₜρ = c Δρᵐ from a Barenblatt profile about
    z₀ at its time t₀. [PWGF (5.7)]"""

    start: Barenblatt
    """The start density, with centre z₀, time t₀ and exponent m."""
    factor: float
    """The factor c of the energy."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        growth = 1 + self.factor * t / self.start.time
        exponent = self.start.alpha / self.start.dimension
        return self.start.centre + (z - self.start.centre) * growth**exponent


def exact_map(energy: SumOfEnergies, start: Density) -> ExactMap | None:
    """The exact map of the flow of `energy` from `start`, or None if none is known.

    It is known for Fokker–Planck equations from a Gaussian, if the potential is quadratic, or if it
    is separable, β > 0 and the coordinates of the start are independent; and for the porous medium
    equation from a Barenblatt profile of the same exponent."""
    parts = energy.parts
    if isinstance(start, Barenblatt) and len(parts) == 1 and isinstance(parts[0], InternalEnergy):
        return BarenblattFlow(start, parts[0].factor) if parts[0].m == start.m else None
    potential, beta = energy.potential(), energy.beta()
    if potential is None or not isinstance(start, Gaussian):
        return None
    if isinstance(potential, SumOfPotentials) and (quadratic := potential.as_quadratic()):
        potential = quadratic[0]
    if isinstance(potential, Quadratic):
        return GaussianFlow(potential, beta, start)
    diagonal = torch.diag(torch.diagonal(start.covariance))
    separable = all(potential.coordinate(j) is not None for j in range(start.dimension))
    if beta > 0 and separable and torch.equal(start.covariance, diagonal):
        return SeparableFlow(potential, beta, start)
    return None
