"""The exact density of a reversible Fokker–Planck flow at given points, by Langevin paths.

For ∂ₜρ = ∇·(ρ∇V) + βΔρ from λ, the ratio h_t = ρ_t e^{V/β} obeys the backward equation
∂ₜh = βΔh − ∇V·∇h, so that

    h_t(x) = E[h₀(X_t) | X₀ = x],   dX = −∇V(X) dt + (2β)^½ dW,   h₀ = λ e^{V/β}.

Paths that are simply run and averaged tell little where h₀ varies by orders of magnitude: a few of
them make up the mean. They are therefore tilted by a function ĥ_s, s the time that is left, which
is the exponential of a quadratic polynomial and fits h₀ at s = 0; the mean stays the same, as each
path has a weight. With V = ½(x − c)ᵀK(x − c) + g·(x − c) + R, a step is a Strang splitting into the
flow x' = −∇R(x) for half the time, the Ornstein–Uhlenbeck process of K and g, and the flow again:
of weak order two, and exact where R = 0. As ĥ solves the backward equation of that process, the
process tilted by it is known exactly, and only the flow changes the weights:

    h_t(x) = E[ĥ_t(X₀⁺) Π_k ĥ_{s_k}(X_k⁺)/ĥ_{s_k}(X_k⁻) · h₀(X_t)/ĥ₀(X_N⁻)],

where − and + stand for before and after the flow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ..parallel import RandomStream
from ..problems import Potential, Problem, UserPotential

_NUMBERS = 2**17  # coordinates of paths at once, unless those of one point are more
_STRENGTHS = (1.0, 0.5, 0.0)  # of the tilt, of which the best is taken
_PILOT = (32, 200)  # points and paths by which they are compared
_MOST = 0.8  # A tilt may take this share of the inverse variance of the process, at most.
_START = 2000  # samples of the start density at which the tilt is fitted


class PathMeans(NamedTuple):
    """Estimates of log ρ_t at n points, of an even number M of paths from each."""

    halves: Tensor
    """log ρ_t by each half of the paths, (n, 2)."""
    shares: Tensor
    """Σw²/(Σw)² of the weights of a point's paths, (n,): 1/M where all are the same, 1 where one
    path makes up the mean."""

    @property
    def log_density(self) -> Tensor:
        """log ρ_t by all paths, (n,)."""
        return torch.logsumexp(self.halves, 1) - math.log(2)


class LangevinPaths:
    """Paths of a Fokker–Planck flow of β > 0 over a time span, and the density they tell."""

    def __init__(self, problem: Problem, span: float, x: Tensor) -> None:
        """`span`: t > 0, the time after the start of the flow. `x`: points at which the density is
        wanted, (n, d) in float64; the linear part of the force is fitted there."""
        self.problem, self.span = problem, span
        self.potential = problem.energy.potential() or UserPotential(_nothing, "0")
        self.beta = problem.energy.beta()
        self.process = _Process.fitted(self.potential, self.beta, span, x)
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
        self._start = problem.start.sample(random, _START)

    def means(self, x: Tensor, *, paths: int, steps: int, key: Sequence[int]) -> PathMeans | None:
        """log ρ_t at points x, (n, d) in float64, from `paths` (an even number) of `steps` steps
        from each. `key`: integers that choose the random numbers. None where paths run away, as
        long steps along a steep potential do.
        """
        points, some = _PILOT
        few = x[:: max(1, len(x) // points)][:points]
        best, tilt = math.inf, None
        for strength in _STRENGTHS:
            tried = self._tilt(strength)
            found = self._means(few, tried, min(paths, some), steps, (*key, 0))
            share = math.inf if found is None else float(found.shares.mean())
            if share < best:
                best, tilt = share, tried
        return None if tilt is None else self._means(x, tilt, paths, steps, (*key, 1))

    def _tilt(self, strength: float) -> _Tilt:
        """ĥ₀ with log ĥ₀ = `strength` times a fit of log h₀ where the start density lies: there the
        paths end that the mean is made of."""
        z, process = self._start, self.process
        y = process.inner(z)
        slopes = self.problem.start.score(z) + self.potential.gradient(z) / self.beta
        known = slopes.isfinite().all(1)  # A score may be infinite at the edge of a support.
        A, b = _regressed(y[known], slopes[known] @ process.axes)
        centre = y.mean(0)
        slope = strength * (A @ centre + b)
        deviations = process.variances(self.span).sqrt()
        scaled = strength * deviations[:, None] * A * deviations
        values, vectors = torch.linalg.eigh(scaled)
        A = (vectors * values.clamp(max=_MOST)) @ vectors.T / deviations / deviations[:, None]
        return _Tilt(A, slope - A @ centre, torch.zeros((), dtype=torch.float64))

    def _means(
        self, x: Tensor, tilt: _Tilt, paths: int, steps: int, key: Sequence[int]
    ) -> PathMeans | None:
        tilts = [tilt, *(self.process.before(tilt, self.span * k / steps)
                         for k in range(1, steps + 1))]  # fmt: skip
        kernels = [self.process.tilted(after, self.span / steps) for after in tilts[:-1]]
        halves, shares = [], []
        for number, points in enumerate(x.split(max(1, _NUMBERS // (paths * x.shape[1])))):
            seed = np.random.SeedSequence((*key[:1], int(RandomStream.PATHS), *key[1:], number))
            random = np.random.Generator(np.random.Philox(seed))
            weights = self._log_weights(points, paths, tilts, kernels, random)
            if bool(weights.isnan().any()):
                return None
            total = torch.logsumexp(weights, 1)
            halves.append(torch.logsumexp(weights.view(len(points), 2, -1), 2))
            shares.append(torch.exp(torch.logsumexp(2 * weights, 1) - 2 * total))
        log_h = torch.cat(halves) - math.log(paths / 2)
        return PathMeans(log_h - self.potential(x)[:, None] / self.beta, torch.cat(shares))

    def _log_weights(
        self, x: Tensor, paths: int, tilts: Sequence[_Tilt], kernels: Sequence[_Kernel],
        random: np.random.Generator,
    ) -> Tensor:  # fmt: skip
        """The logarithms of what the mean is taken of, (n, paths)."""
        n, d = x.shape
        size = self.span / len(kernels)
        y = self._flowed(self.process.inner(x), size / 2)
        log_weight = tilts[-1](y).repeat_interleave(paths)
        y = y.repeat_interleave(paths, 0)
        for k in reversed(range(len(kernels))):
            noise = torch.from_numpy(random.standard_normal((n * paths, d)))
            y = kernels[k](y, noise)
            log_weight -= tilts[k](y)
            y = self._flowed(y, size if k else size / 2)
            if k:
                log_weight += tilts[k](y)
        end = self.process.outer(y)
        log_weight += self.problem.start.log_density(end) + self.potential(end) / self.beta
        return log_weight.view(n, paths)

    def _flowed(self, y: Tensor, time: float) -> Tensor:
        """The flow y' = −∇R(y), by the midpoint rule."""
        middle = y - time / 2 * self._rest(y)
        return y - time * self._rest(middle)

    def _rest(self, y: Tensor) -> Tensor:
        """∇R at y, (n, d)."""
        gradient = self.potential.gradient(self.process.outer(y)) @ self.process.axes
        return gradient - self.process.rates * y - self.process.drift


class _Tilt(NamedTuple):
    """log ĥ(y) = ½ yᵀAy + b·y + c."""

    A: Tensor
    b: Tensor
    c: Tensor

    def __call__(self, y: Tensor) -> Tensor:
        """(n, d) → (n,)."""
        return ((0.5 * y @ self.A + self.b) * y).sum(1) + self.c


class _Kernel(NamedTuple):
    """One step of a Gaussian process: y ↦ Fy + g + Gξ, ξ a standard normal variable."""

    F: Tensor
    g: Tensor
    G: Tensor

    def __call__(self, y: Tensor, noise: Tensor) -> Tensor:
        """(n, d) → (n, d)."""
        return torch.addmm(self.g, y, self.F.T).addmm_(noise, self.G.T)


@dataclass(frozen=True)
class _Process:
    """dY = −(ΛY + g) dt + (2β)^½ dW in coordinates y = Qᵀ(x − c), in which K = QΛQᵀ is diagonal."""

    centre: Tensor
    """c, (d,)."""
    axes: Tensor
    """Q, (d, d)."""
    rates: Tensor
    """Λ, (d,)."""
    drift: Tensor
    """g, (d,)."""
    beta: float
    """β."""

    @classmethod
    def fitted(cls, potential: Potential, beta: float, span: float, x: Tensor) -> Self:
        """K and g for which K(x − c) + g is nearest to ∇V at points x, (n, d). Rates below −1/t,
        over a time span t, would let paths run away and are left to R."""
        centre = x.mean(0)
        K, _ = _regressed(x - centre, potential.gradient(x))
        rates, axes = torch.linalg.eigh(K)
        gradient = potential.gradient(x).mean(0)
        return cls(centre, axes, rates.clamp(min=-1 / span), gradient @ axes, beta)

    def inner(self, x: Tensor) -> Tensor:
        """y at x, (n, d)."""
        return (x - self.centre) @ self.axes

    def outer(self, y: Tensor) -> Tensor:
        """x at y, (n, d)."""
        return torch.addmm(self.centre, y, self.axes.T)

    def variances(self, time: float) -> Tensor:
        """β(1 − e^{−2Λs})/Λ, (d,)."""
        return 2 * self.beta * time * _growth(-2 * time * self.rates)

    def _mean(self, time: float) -> tuple[Tensor, Tensor]:
        """E and e, (d,) each: after the time s, Y has the mean E ∘ y + e."""
        decay = torch.exp(-self.rates * time)
        return decay, -self.drift * time * _growth(-self.rates * time)

    def _met(self, tilt: _Tilt, time: float) -> tuple[Tensor, Tensor]:
        """S = C^½, (d,), C the variances, and the Cholesky factor of I − SAS."""
        S = self.variances(time).sqrt()
        left = torch.eye(len(S), dtype=S.dtype) - S[:, None] * tilt.A * S
        return S, torch.linalg.cholesky(left)

    def before(self, tilt: _Tilt, time: float) -> _Tilt:
        """E[ĥ(Y_s) | Y₀ = y] as a function of y: the exponential of a quadratic polynomial too."""
        (S, L), (E, e) = self._met(tilt, time), self._mean(time)
        scaled = torch.linalg.solve_triangular(
            L, S[:, None] * torch.cat([tilt.A, tilt.b[:, None]], 1), upper=False
        )
        SA, Sb = scaled[:, :-1], scaled[:, -1]
        A, b = tilt.A + SA.T @ SA, tilt.b + SA.T @ Sb
        c = tilt.c + 0.5 * Sb @ Sb - L.diagonal().log().sum() + b @ e + 0.5 * e @ A @ e
        return _Tilt(E[:, None] * A * E, E * (b + A @ e), c)

    def tilted(self, after: _Tilt, time: float) -> _Kernel:
        """The step of length `time` of the process tilted by the ĥ that comes after it: with the
        density of Y_s times ĥ, divided by its integral."""
        (S, L), (E, e) = self._met(after, time), self._mean(time)
        covariance = S[:, None] * torch.cholesky_inverse(L) * S
        moved = torch.eye(len(S), dtype=S.dtype) + covariance @ after.A
        spread = torch.linalg.solve_triangular(L, torch.diag(S), upper=False).T
        return _Kernel(moved * E, moved @ e + covariance @ after.b, spread)


def _growth(x: Tensor) -> Tensor:
    """(eˣ − 1)/x, and 1 at 0."""
    return torch.where(x == 0, 1.0, torch.expm1(x) / torch.where(x == 0, 1.0, x))


def _regressed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric part of A and the b for which y ≈ A x + b by least squares, x and y: (n, d)."""
    centre = x.mean(0)
    slopes = torch.linalg.lstsq(x - centre, y - y.mean(0), driver="gelsd").solution
    A = 0.5 * (slopes + slopes.T)
    return A, y.mean(0) - A @ centre


def _nothing(x: Tensor) -> Tensor:
    return 0.0 * x.sum(1)
