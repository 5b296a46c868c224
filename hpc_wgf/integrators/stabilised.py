"""Runge–Kutta–Chebyshev steps of y' = f(t, y): order two, and as many stages as stability demands.

They are made for Jacobians with eigenvalues near the negative real axis, from −σ to 0. A step of s
stages is stable up to h ≈ 0.65 s²/σ, while s steps of Heun's scheme together reach 2 s/σ.

Source: B. P. Sommeijer, L. F. Shampine, J. G. Verwer, J. Comput. Appl. Math. 88 (1998) 315.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .rosenbrock import RightHandSide

_DAMPING = 2 / 13  # ε of the source, which widens the stability region about the real axis.
_PER_SQUARE = 1.54  # s² − 1 ≥ 1.54 hσ, as in the code of the source; the limit of large s is 1.531.


@dataclass(frozen=True)
class _Stage:
    """D_j = μ D_{j−1} + ν D_{j−2} + μ̃ h F_{j−1} + γ̃ h F_0 with D_j = Y_j − Y_0, one stage."""

    mu: float
    """μ."""
    nu: float
    """ν."""
    mu_tilde: float
    """μ̃."""
    gamma_tilde: float
    """γ̃."""


def chebyshev_step(
    rhs: RightHandSide, y: Tensor, first: Tensor, step: float, stages: int
) -> Tensor:
    """y₊ = Y_s of the three-term recurrence Y_0 = y, Y_1 = y + μ̃_1 h F_0, Y_2, …, of order two.

    `rhs`: f. `first`: F_0 = f(t, y). `step`: h. `stages`: s ≥ 2, of which `first` is one, so that f
    is evaluated s − 1 times. Exceptions of `rhs` are not caught. Five vectors are held, y and
    `first` among them, whatever s is.

    The recurrence is one for D_j = Y_j − y: it magnifies rounding errors by about s², and those of
    D_j are smaller than those of Y_j.

    Errors: `ValueError` for fewer than 2 stages.
    """
    initial, later = _coefficients(stages)
    older, newer = torch.zeros_like(y), first * (step * initial)
    # The times of the stages follow the same recurrence, for t' = 1.
    before, after = 0.0, step * initial
    for stage in later:
        _combine(older, newer, rhs(y + newer, after), first, step, stage)
        older, newer = newer, older
        slope = step * (stage.mu_tilde + stage.gamma_tilde)
        before, after = after, stage.mu * after + stage.nu * before + slope
    return newer.add_(y)


def chebyshev_error(y: Tensor, y_plus: Tensor, first: Tensor, last: Tensor, step: float) -> Tensor:
    """0.8 (y − y₊) + 0.4 h (f(y) + f(y₊)), an estimate of a step's error of its order, h³.

    Between exact values it is h³y'''/15; for a step it is 1.2 times (s = 2) to 1.8 times (many
    stages) its error. `first`: f(y). `last`: f(y₊), which is `first` of the next step. `step`: h.
    """
    error = torch.sub(y, y_plus).mul_(0.8)
    return error.add_(first, alpha=0.4 * step).add_(last, alpha=0.4 * step)


def first_node(stages: int) -> float:
    """c_1 = μ̃_1 of a step of s `stages`: the fraction of h over which f(y) alone is followed."""
    return _coefficients(stages)[0]


def largest_step(stages: int, spectral_radius: float) -> float:
    """h = (s² − 1)/(1.54 σ), the largest step for which s stages are stable; infinite for σ = 0."""
    return (stages**2 - 1) / (_PER_SQUARE * spectral_radius) if spectral_radius else math.inf


def stages_for(step: float, spectral_radius: float) -> int:
    """The least s ≥ 2 with h ≤ (s² − 1)/(1.54 σ), for which a step of size h is stable.

    Errors: `ValueError` where hσ is negative or not finite.
    """
    scaled = step * spectral_radius
    if not 0.0 <= scaled < math.inf:
        raise ValueError(
            f"step {step:g} and spectral radius {spectral_radius:g} must be finite and not negative"
        )
    stages = max(2, math.floor(math.sqrt(_PER_SQUARE * scaled + 1.0)))
    while step > largest_step(stages, spectral_radius):
        stages += 1
    return stages


def spectral_radius(
    rhs: RightHandSide,
    y: Tensor,
    first: Tensor,
    norm: Callable[[Tensor], float],
    guess: Tensor | None = None,
    *,
    step: float = 0.0,
    accuracy: float = 1e-4,
    evaluations: int = 6,
    change: float = 0.1,
    safety: float = 1.2,
) -> tuple[float, Tensor]:
    """σ = 1.2 |f(y + εv) − f(y)|/ε after power iterations v ← f(y + εv) − f(y), |v| = 1; and v.

    σ estimates the spectral radius of f'(y), in 1/t. `rhs`: f. `first`: f(y), all at one time.
    `norm`: |·|, best one in which f' is symmetric, as the quotients then increase towards the
    radius. The iterations end after `evaluations` of f, or once the quotients change by less than
    the fraction `change`. If few eigenvalues lie just below the radius, σ is between it and 1.2
    times it, `safety` being 1.2.

    `guess`: v of an earlier call, by default f(y). A fixed random vector of the same norm, equal on
    all ranks and devices, is added to it: iterations that start from an eigenvector would never
    find a larger eigenvalue.

    ε = √δ max(|y|, h|f(y)|), δ = `accuracy` being the relative error of f, and h = `step` the size
    of the coming step. The difference then exceeds the errors of f by the factor hσ/√δ, while the
    curvature of f contributes in proportion to √δ. `step` must be given where y may be near 0.
    The source has for δ the machine epsilon and h = 0, with which errors of 10⁻⁴ in f would
    dominate the difference.
    """
    epsilon = accuracy**0.5 * (max(norm(y), step * norm(first)) or 1.0)
    v = _direction(first if guess is None else guess, norm)
    value = math.nan
    for _ in range(evaluations):
        v.mul_(epsilon / (norm(v) or 1.0))
        v = rhs(y + v, 0.0) - first
        previous, value = value, norm(v) / epsilon
        if not 0.0 < value < math.inf or abs(value - previous) <= change * value:
            break
    return safety * value, v.mul_(1.0 / (epsilon * value or 1.0))


def _direction(start: Tensor, norm: Callable[[Tensor], float]) -> Tensor:
    """`start` plus a random vector of the same norm; that vector alone for `start` = 0."""
    generator = torch.Generator().manual_seed(0)
    fresh = torch.randn(start.shape, generator=generator, dtype=torch.float64).to(start)
    size = norm(start)
    if not 0.0 < size < math.inf:
        return fresh
    return torch.add(start, fresh, alpha=size / norm(fresh))


def _combine(
    older: Tensor, newer: Tensor, slope: Tensor, first: Tensor, step: float, s: _Stage
) -> None:
    """D_j, written over D_{j−2}."""
    older.mul_(s.nu).add_(newer, alpha=s.mu)
    older.add_(slope, alpha=step * s.mu_tilde).add_(first, alpha=step * s.gamma_tilde)


@lru_cache
def _coefficients(stages: int) -> tuple[float, tuple[_Stage, ...]]:
    """μ̃_1, and the coefficients of stages 2 … s: b_j = T_j''/T_j'² at w_0 = 1 + ε/s², ε = 2/13."""
    if stages < 2:
        raise ValueError(f"a Chebyshev step needs at least 2 stages, got {stages}")
    w0 = 1.0 + _DAMPING / stages**2
    T, dT, ddT = _chebyshev(stages, w0)
    w1 = dT[stages] / ddT[stages]
    b = [second / first**2 for first, second in zip(dT[2:], ddT[2:], strict=True)]
    b = [b[0], b[0], *b]
    later = []
    for j in range(2, stages + 1):
        mu_tilde = 2.0 * w1 * b[j] / b[j - 1]
        gamma_tilde = -(1.0 - b[j - 1] * T[j - 1]) * mu_tilde
        later.append(_Stage(2.0 * w0 * b[j] / b[j - 1], -b[j] / b[j - 2], mu_tilde, gamma_tilde))
    return b[1] * w1, tuple(later)


def _chebyshev(degree: int, x: float) -> tuple[list[float], list[float], list[float]]:
    """T_j(x), T_j'(x), T_j''(x) for j = 0 … degree."""
    T, dT, ddT = [1.0, x], [0.0, 1.0], [0.0, 0.0]
    for _ in range(degree - 1):
        ddT.append(2 * x * ddT[-1] - ddT[-2] + 4 * dT[-1])
        dT.append(2 * x * dT[-1] - dT[-2] + 2 * T[-1])
        T.append(2 * x * T[-1] - T[-2])
    return T, dT, ddT
