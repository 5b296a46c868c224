"""Gaussians that stay Gaussian where particles move linearly: with a mobility, a drift, or in a
potential that moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .densities import Gaussian
from .drift import LinearDrift
from .energies import Entropy, PotentialEnergy, SumOfEnergies
from .flow import Flow
from .gaussian_flow import GaussianFlow
from .matrices import Spectrum, dense
from .mobility import CovarianceMobility, MatrixMobility
from .moving import MovingPotentialEnergy

_RTOL, _ATOL = 1e-11, 1e-13
_STIFF = 300  # unknowns, of 12 dimensions, up to which the Jacobian of an implicit step is formed


@dataclass(frozen=True)
class LinearFlow:
    """dX = (A(t) X + a(t)) dt + √(2D) dB from N(m₀, C₀), D = βP, which stays Gaussian:

        m' = A m + a,   C' = AC + CAᵀ + 2D,   x = m + M (z − m₀) with M' = (A + D C⁻¹) M, M(0) = I.

    Integrated to 10⁻¹¹: by LSODA, which takes stiff flows, or in many dimensions, where its
    Jacobian is too large, by DOP853. Not a number where that fails."""

    rates: Callable[[float], tuple[Tensor, Tensor]]
    """t ↦ A(t), (d, d), and a(t), (d,), t the time itself."""
    diffusion: Tensor
    """D, (d, d)."""
    start: Gaussian
    """N(m₀, C₀)."""
    start_time: float = 0.0
    """The time of the start."""
    _known: dict[float, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def known(cls, flow: Flow, start: Gaussian) -> Self | None:
        """The flow from the time of `flow` on, where its particles move linearly."""
        slope = _linear_force(flow.energy, start.dimension)
        drift, d = flow.drift, start.dimension
        if slope is None or not isinstance(drift, LinearDrift | None):
            return None
        if not isinstance(flow.mobility, MatrixMobility | None):
            return None
        eye = torch.eye(d, dtype=torch.float64)
        P = eye if flow.mobility is None else dense(flow.mobility.matrix, d)
        hessian, at_zero = slope

        def rates(time: float) -> tuple[Tensor, Tensor]:
            A, a = -P @ hessian, -P @ at_zero(time)
            if drift is None:
                return A, a
            B, b = drift.linear(time)
            return A + B, a + b

        return cls(rates, flow.energy.beta() * P, start, flow.time)

    def _at(self, t: float) -> tuple[Tensor, Tensor, Tensor]:
        """m, C and M at time t after the start."""
        if t not in self._known:
            self._known[t] = self._integrated(t)
        return self._known[t]

    def _integrated(self, t: float) -> tuple[Tensor, Tensor, Tensor]:
        d = self.start.dimension
        C = dense(self.start.covariance, d)
        begun = torch.cat([self.start.mean[:, None], C, torch.eye(d, dtype=C.dtype)], 1)
        if t == 0.0:
            return self.start.mean, C, begun[:, 1 + d :]
        moves = bool(self.diffusion.any())

        def rate(time: float, flat: np.ndarray) -> np.ndarray:
            m, C, M = torch.from_numpy(flat.reshape(d, -1)).split([1, d, d], 1)
            A, a = self.rates(self.start_time + time)
            grown = A @ C
            turned = self.diffusion @ torch.linalg.solve(C, M) if moves else torch.zeros_like(M)
            parts = (A @ m + a[:, None], grown + grown.T + 2 * self.diffusion, A @ M + turned)
            return torch.cat(parts, 1).numpy().ravel()

        small, known = begun.numel() <= _STIFF, scipy.integrate
        method = known.LSODA if small else known.DOP853
        path = scipy.integrate.solve_ivp(
            rate, (0.0, t), begun.numpy().ravel(), method, rtol=_RTOL, atol=_ATOL
        )
        end = path.y[:, -1] if path.success else np.full(begun.numel(), np.nan)
        m, C, M = torch.from_numpy(end.reshape(d, -1).copy()).split([1, d, d], 1)
        return m[:, 0], 0.5 * (C + C.T), M

    def law(self, t: float) -> tuple[Tensor, Tensor]:
        """m, (d,), and C, (d, d), at time t after the start."""
        m, C, _ = self._at(t)
        return m, C

    def __call__(self, t: float, z: Tensor) -> Tensor:
        if t == 0.0:
            return z.double().cpu()
        m, _, M = self._at(t)
        return m + (z.double().cpu() - self.start.mean) @ M.T


@dataclass(frozen=True)
class KalmanFlow:
    """The flow of V = ½(x − μ)ᵀB(x − μ) with diffusion β and P = Cov(ρ) from N(m₀, C₀) [DJKO 4.4]:

        C(t)⁻¹ = e^{−2βt} C₀⁻¹ + (1 − e^{−2βt}) B/β,
        x = μ + N(m₀ − μ) + e^{βt} N(z − m₀),
        N = C₀^½ [I + (e^{2βt} − 1)/β C₀^½ B C₀^½]^{−½} C₀^{−½}.

    C₀ and B need not commute; for β = 0 the quotients have their limits."""

    centre: Tensor
    """μ, (d,)."""
    precision: Tensor
    """B, (d, d)."""
    beta: float
    """β ≥ 0."""
    start: Gaussian
    """N(m₀, C₀)."""

    @classmethod
    def known(cls, flow: Flow, start: Gaussian) -> Self | None:
        """The flow, where its potential is a quadratic one with a minimum."""
        potential, d = flow.energy.potential(), start.dimension
        if flow.drift is not None or not flow.energy.is_fokker_planck or potential is None:
            return None
        hessian = potential.hessian()
        if hessian is None:
            return None
        B = dense(hessian, d)
        if not float(torch.linalg.eigvalsh(B)[0]) > 0:
            return None
        zero = torch.zeros(1, d, dtype=torch.float64)
        centre = -torch.linalg.solve(B, potential.gradient(zero)[0])
        return cls(centre, B, flow.energy.beta(), start)

    @cached_property
    def _root(self) -> tuple[Tensor, Tensor]:
        """C₀^½ and C₀^{−½}."""
        spectrum = Spectrum(dense(self.start.covariance, self.start.dimension))
        return spectrum.of(torch.sqrt), spectrum.of(torch.rsqrt)

    def _shrunk(self, t: float) -> Tensor:
        """N."""
        root, inverse = self._root
        grown = 2 * t if self.beta == 0 else float(np.expm1(2 * self.beta * t)) / self.beta
        middle = Spectrum(root @ self.precision @ root).of(lambda q: torch.rsqrt(1 + grown * q))
        return root @ middle @ inverse

    def law(self, t: float) -> tuple[Tensor, Tensor]:
        """The mean, (d,), and the covariance, (d, d), at time t after the start."""
        N, factor = self._shrunk(t), float(np.exp(2 * self.beta * t))
        C = factor * N @ dense(self.start.covariance, self.start.dimension) @ N.T
        return self.centre + N @ (self.start.mean - self.centre), 0.5 * (C + C.T)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        if t == 0.0:
            return z.double().cpu()
        N = self._shrunk(t)
        mean = self.centre + N @ (self.start.mean - self.centre)
        step = z.double().cpu() - self.start.mean
        return mean + float(np.exp(self.beta * t)) * step @ N.T


GaussianLaw = GaussianFlow | LinearFlow | KalmanFlow
"""The exact flows of Gaussians that stay so, with `start` and `law(t)`: their map is affine."""


def linear_map(flow: Flow, start: object) -> LinearFlow | KalmanFlow | None:
    """The exact map from `start` on of a flow with mobility, drift or a potential that moves, where
    a Gaussian stays one."""
    if not isinstance(start, Gaussian):
        return None
    if isinstance(flow.mobility, CovarianceMobility):
        return KalmanFlow.known(flow, start)
    return LinearFlow.known(flow, start)


def _linear_force(
    energy: SumOfEnergies, dimension: int
) -> tuple[Tensor, Callable[[float], Tensor]] | None:
    """∇²V, (d, d), where it is the same everywhere and at all times, and t ↦ ∇V(0, t), (d,), of an
    energy of potentials and entropy."""
    known = PotentialEnergy | Entropy | MovingPotentialEnergy
    if not all(isinstance(part, known) for part in energy.parts):
        return None
    zero = torch.zeros(1, dimension, dtype=torch.float64)
    hessian = torch.zeros(dimension, dimension, dtype=torch.float64)
    for part in energy.of_position:
        assert isinstance(part, PotentialEnergy | MovingPotentialEnergy)
        found = part.potential.hessian()
        if found is None:
            return None
        factor = part.factor if isinstance(part, MovingPotentialEnergy) else 1.0
        hessian = hessian + factor * dense(found, dimension)

    def at_zero(time: float) -> Tensor:
        potential = energy.at(time).present_potential()
        return zero[0] if potential is None else potential.gradient(zero)[0]

    return hessian, at_zero
