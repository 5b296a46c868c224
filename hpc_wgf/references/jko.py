"""Exact steps of the JKO scheme (R. Jordan, D. Kinderlehrer, F. Otto, SIAM J. Math. Anal. 29 (1998)
1): of Gaussians in closed form, and of internal energies on the line by quantiles.

    ρ_{k+1} = argmin_ρ W₂²(ρ_k, ρ)/2τ + F(ρ)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import solveh_banded

from ..errors import RunError

Array = np.ndarray
_MOST = 100  # iterations of Newton's method
_CONVERGED = 1e-12  # (E|δx|²)^½ of a correction, over the spread
_ROUNDING = 1e-9  # of the objective: what Newton's method promises where it has all but converged
_TO_EDGE = 0.9  # of the way on which quantiles would meet


def gaussian_step(deviations: Array, rates: Array, beta: float, tau: float) -> tuple[Array, Array]:
    """The map of one step for F = ∫Vρ + β∫ρ log ρ, V = ½ Σ a_i y_i², from N(0, diag(s²)), in the
    coordinates y of the principal axes around the minimum of V.

    `deviations`: s. `rates`: a. Returns the deviations after the step, and the factors by which
    means shrink: s' is the root of (s' − s)/τ = β/s' − a s', and the mean m' = m/(1 + τa)."""
    stiff = 1.0 + tau * rates
    after = (deviations + np.sqrt(deviations**2 + 4 * tau * beta * stiff)) / (2 * stiff)
    return after, 1.0 / stiff


def quantile_step(x: Array, m: float, factor: float, tau: float) -> Array:
    """One step for F = c/(m−1) ∫ρᵐ on the line, m > 1: the quantiles x_i, i = 0, …, N, at masses
    i/N of the density before it, rising, give those after it.

    The density is constant between quantiles, and minimises

        Σ w_i (x'_i − x_i)²/2τ + c/(m−1) N⁻ᵐ Σ (x'_{i+1} − x'_i)^{1−m},

    w the weights of the trapezoidal rule: a convex problem, solved by Newton's method with
    tridiagonal matrices. Errors: `RunError` where it does not converge."""
    cells = len(x) - 1
    weights = np.full(len(x), 1.0 / cells)
    weights[[0, -1]] /= 2
    scale = factor * float(cells) ** -m

    def objective(at: Array) -> float:
        distance = float(weights @ (at - x) ** 2) / (2 * tau)
        return distance + scale / (m - 1) * float((np.diff(at) ** (1 - m)).sum())

    at, spread = x.copy(), float(np.std(x))
    for _ in range(_MOST):
        gaps = np.diff(at)
        pressure, stiffness = scale * gaps**-m, scale * m * gaps ** (-m - 1)
        slope = weights * (at - x) / tau
        slope[:-1] += pressure
        slope[1:] -= pressure
        bands = np.zeros((2, len(x)))
        bands[0, 1:] = -stiffness
        bands[1] = weights / tau
        bands[1, :-1] += stiffness
        bands[1, 1:] += stiffness
        step = solveh_banded(bands, -slope)
        if float(weights @ step**2) ** 0.5 <= _CONVERGED * spread:
            return at + step
        at = at + _length(objective, at, step, float(slope @ step)) * step
    raise RunError(f"a JKO step of {tau:g} by {cells} quantiles did not converge")


def _length(objective: Callable[[Array], float], at: Array, step: Array, promised: float) -> float:
    """How much of a Newton step is taken, so that quantiles keep their order and the objective
    falls."""
    closing = -np.diff(step) / np.diff(at)
    length = min(1.0, _TO_EDGE / max(1e-300, float(closing.max())))
    before = objective(at)
    if abs(promised) < _ROUNDING * abs(before):  # The objective does not tell any more.
        return length
    while length > 1e-8 and objective(at + length * step) > before + 1e-4 * length * promised:
        length /= 2
    return length
