"""Gaussians that stay Gaussian: the flow of a polynomial potential of degree 2 with diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .densities import Gaussian
from .matrices import Spectrum, added, dense, times
from .potentials import Potential

_ROUNDING = 1e-12  # of a commutator, relative to the two matrices


@dataclass(frozen=True)
class GaussianFlow:
    """The flow of V with ∇²V = Q, any symmetric matrix, and diffusion β from N(m₀, C₀). It stays
    Gaussian, with

        m(t) = m₀ − ∫₀ᵗ e^{−Qs} ds ∇V(m₀),   C(t) = e^{−Qt} C₀ e^{−Qt} + 2β ∫₀ᵗ e^{−2Qs} ds,

    and moves samples by x = m(t) + M(t)(z − m₀), where M' = (β C⁻¹ − Q) M, M(0) = I. If C₀ and Q
    commute, M(t) = C(t)^½ C₀^{−½}; if β = 0, M(t) = e^{−Qt}. [VWGF 4.2, with the sign of Q
    corrected, and integrals in place of Q⁻¹]

    An interaction ½k|x − y|² attracts samples to the mean m̄ of all with the force k(x − m̄). The
    mean does not feel it; Q becomes Q + kI in C and M, and for a component of a mixture in

        m(t) = m̄(t) + e^{−(Q + kI)t} (m₀ − m̄₀).
    """

    potential: Potential | None
    """V, with a known `hessian`; None for V = 0, which is the heat equation."""
    beta: float
    """The diffusion coefficient β ≥ 0."""
    start: Gaussian
    """The start density N(m₀, C₀)."""
    attraction: float = 0.0
    """k, of either sign."""
    centre: Tensor | None = None
    """m̄₀, (d,), the mean of the density of which the start is a component; by default m₀."""

    @cached_property
    def _hessian(self) -> Tensor:
        """Q + kI, in the form of Q."""
        known = None if self.potential is None else self.potential.hessian()
        Q = torch.zeros((), dtype=torch.float64) if known is None else known
        k = torch.tensor(self.attraction, dtype=torch.float64)
        return added([(1.0, Q), (1.0, k)], self.start.dimension) if self.attraction else Q

    @cached_property
    def _spectrum(self) -> Spectrum:
        return Spectrum(self._hessian)

    def _mean(self, t: float) -> Tensor:
        """m(t), (d,)."""
        start, centre, k = self.start.mean, self.centre, self.attraction
        if k == 0 or centre is None:
            centre = start
        moved = centre
        if self.potential is not None:
            slope = self.potential.gradient(centre[None])[0]
            moved = centre - times(slope, self._spectrum.of(lambda q: t * decayed((q - k) * t)))
        if centre is start:
            return moved
        return moved + times(start - centre, self._spectrum.of(lambda q: torch.exp(-q * t)))

    def law(self, t: float) -> tuple[Tensor, Tensor]:
        """The mean m(t), (d,), and the covariance C(t) at time t after the start: (d, d), or the
        short form (), (d,) where Q and C₀ have one."""
        function, d = self._spectrum.of, self.start.dimension
        mean = self._mean(t)
        spread = 2 * self.beta * function(lambda q: t * decayed(2 * q * t))
        decay, C = function(lambda q: torch.exp(-q * t)), self.start.covariance
        if max(decay.ndim, C.ndim) < 2:
            return mean, decay * C * decay + spread
        C = times(times(dense(C, d), decay).T, decay) + dense(spread, d)
        return mean, 0.5 * (C + C.T)

    def _matrix(self, t: float) -> Tensor:
        """M(t), in the form of the covariance."""
        if self.beta == 0.0:
            return self._spectrum.of(lambda q: torch.exp(-q * t))
        Q, start, law = self._hessian, self.start.covariance, self.law(t)[1]
        if law.ndim < 2:
            return (law / start).sqrt()
        d = self.start.dimension
        if _commute(Q, start, d):
            return Spectrum(law).of(torch.sqrt) @ dense(Spectrum(start).of(torch.rsqrt), d)

        def rate(time: float, flat: np.ndarray) -> np.ndarray:
            M = torch.from_numpy(flat.reshape(d, d))
            rhs = self.beta * torch.linalg.solve(self.law(time)[1], M) - times(M.T, Q).T
            return rhs.numpy().ravel()

        solve = scipy.integrate.solve_ivp
        path = solve(rate, (0.0, t), np.eye(d).ravel(), "DOP853", rtol=1e-12, atol=1e-13)
        return torch.from_numpy(path.y[:, -1].reshape(d, d))

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        matrix = self._matrix(t)
        return self.law(t)[0] + times(z - self.start.mean, matrix.T if matrix.ndim == 2 else matrix)


def decayed(y: Tensor) -> Tensor:
    """(1 − e^{−y})/y, the mean of e^{−s} over 0 ≤ s ≤ y; 1 at y = 0."""
    safe = torch.where(y == 0, 1.0, y)
    return torch.where(y == 0, 1.0, -torch.expm1(-safe) / safe)


def _commute(Q: Tensor, C: Tensor, dimension: int) -> bool:
    """Whether the matrices commute, up to rounding errors."""
    if min(Q.ndim, C.ndim) == 0 or max(Q.ndim, C.ndim) == 1:
        return True
    Q, C = dense(Q, dimension), dense(C, dimension)
    return float((Q @ C - C @ Q).abs().max()) <= _ROUNDING * float(Q.norm() * C.norm())
