"""The elliptic inverse problem of Kalman–Wasserstein flows: its posterior by quadrature, and its
flow by interacting Langevin particles.

The solution p(x) = u₂x + e^{−u₁}(x − x²)/2 of −(e^{u₁} p')' = 1 on [0, 1] with p(0) = 0, p(1) = u₂
is observed at x = ¼ and x = ¾ [DJKO 4.4].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import InputError

Array = np.ndarray
_PLACES = np.array([0.25, 0.75])
_DATA = np.array([27.5, 79.7])
_NOISE, _PRIOR = 0.01, 100.0  # variances of the data and of u


def potential(u: Array) -> Array:
    """Φ(u) = ½|G(u) − y|²/.01 + ½|u|²/100, (n, 2) → (n,)."""
    misfit, _ = _misfit(u)
    return np.asarray(0.5 * (misfit**2).sum(1) / _NOISE + 0.5 * (u**2).sum(1) / _PRIOR)


def gradient(u: Array) -> Array:
    """∇Φ, (n, 2) → (n, 2)."""
    misfit, slope = _misfit(u)
    both = np.stack([(misfit * slope).sum(1), misfit @ _PLACES], 1)
    return np.asarray(both / _NOISE + u / _PRIOR)


def _misfit(u: Array) -> tuple[Array, Array]:
    """G(u) − y and ∂G/∂u₁, (n, 2) each."""
    bend = np.exp(-u[:, :1]) * 0.5 * (_PLACES - _PLACES**2)
    return u[:, 1:] * _PLACES + bend - _DATA, -bend


@dataclass(frozen=True)
class Posterior:
    """The density e^{−Φ}/Z."""

    mean: Array
    """E[u], (2,)."""
    covariance: Array
    """(2, 2)."""
    log_z: float
    """log ∫ e^{−Φ} du."""


def posterior(
    points: int,
    low: Sequence[float] = (-3.72, 101.35),
    high: Sequence[float] = (-1.72, 107.35),
) -> Posterior:
    """Moments of e^{−Φ}/Z by the trapezoidal rule on `points`² points of a box, outside of which
    there is less than 1e-12 of its mass: the rule then converges faster than any power.

    Errors: `InputError` for less than two points along an axis."""
    if points < 2:
        raise InputError(f"a quadrature needs at least 2 points along an axis, got {points}")
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    u = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    values = -potential(u)
    largest = values.max()
    mass = np.exp(values - largest)
    total = mass.sum()
    mean = mass @ u / total
    apart = u - mean
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    return Posterior(
        mean, (apart * mass[:, None]).T @ apart / total, largest + np.log(total * cell)
    )


def langevin(times: Sequence[float], particles: int, step: float, seed: int) -> tuple[Array, Array]:
    """Mean, (s, 2), and covariance, (s, 2, 2), at rising `times` of interacting particles that
    start from N((−2.4, 104), diag(.35², 1)):

        du_i = −C ∇Φ(u_i) dt + (3/N)(u_i − ū) dt + (2C)^½ dW_i,

    ū and C their empirical mean and covariance, by steps of at most `step` of Heun's method. For
    N → ∞ it is the flow of ∂ₜρ = ∇·(ρ Cov(ρ) ∇(Φ + log ρ)); the drift in 3/N = (d + 1)/N keeps the
    posterior invariant for every N (A. Garbuno-Inigo, N. Nüsken, S. Reich, SIAM J. Appl. Dyn. Syst.
    19 (2020) 1633).

    Errors: `InputError` unless the times rise from above 0, and for less than four particles."""
    rising = all(a < b for a, b in pairwise([0.0, *times]))
    if particles < 4 or step <= 0 or not rising:
        raise InputError(
            f"need rising times above 0, a positive step and at least 4 particles, got {times}, "
            f"{step} and {particles}"
        )
    random = np.random.default_rng(seed)
    u = np.array([-2.4, 104.0]) + np.array([0.35, 1.0]) * random.standard_normal((particles, 2))
    t, means, covariances = 0.0, [], []
    for target in times:
        count = int(np.ceil((target - t) / step - 1e-9))
        for _ in range(count):
            u = _langevin_step(u, (target - t) / count, random)
        t = target
        means.append(u.mean(0))
        covariances.append(np.cov(u.T))
    return np.array(means), np.array(covariances)


def _langevin_step(u: Array, dt: float, random: np.random.Generator) -> Array:
    """One step of Heun's method, with C for the noise at the middle of the step as it is to be
    expected: it must not depend on the noise itself. For N → ∞ it is of second order in law."""
    covariance = np.cov(u.T)
    first = _drift(u, covariance)
    middle = np.cov((u + 0.5 * dt * first).T) + dt * covariance
    noise = random.standard_normal(u.shape) @ np.linalg.cholesky(2 * dt * middle).T
    tried = u + dt * first + noise
    return np.asarray(u + 0.5 * dt * (first + _drift(tried, np.cov(tried.T))) + noise)


def _drift(u: Array, covariance: Array) -> Array:
    """−C∇Φ(u_i) + (3/N)(u_i − ū), (n, 2)."""
    return np.asarray(3 / len(u) * (u - u.mean(0)) - gradient(u) @ covariance)


def store_posterior(path: Path, points: int = 401) -> None:
    """Store `posterior` as a NumPy archive at `path`, and print it with its difference to that of
    half the points along every axis."""
    fine, coarse = posterior(points), posterior((points + 1) // 2)
    error = max(
        float(np.abs(fine.mean - coarse.mean).max()),
        float(np.abs(fine.covariance - coarse.covariance).max()),
        abs(fine.log_z - coarse.log_z),
    )
    np.savez(path, mean=fine.mean, covariance=fine.covariance, log_z=fine.log_z, error=error)
    print(
        f"{path.stem}: mean {fine.mean}, covariance {fine.covariance.tolist()}, log Z "
        f"{fine.log_z:.6f}; to half the points {error:.0e}"
    )


def store_langevin(
    path: Path, times: Sequence[float] = (0.1, 0.5, 1.0, 4.0), particles: int = 20_000,
    step: float = 2e-3, runs: int = 8,
) -> None:  # fmt: skip
    """Store the means of independent `runs` of `langevin` as a NumPy archive at `path`, with their
    standard errors and the means of as many with steps twice as long, and print them."""
    mean, covariance, mean_error, error = _mean_of_runs(times, particles, step, runs)
    _, longer, _, _ = _mean_of_runs(times, particles, 2 * step, runs)
    np.savez(
        path, times=np.array(times), mean=mean, mean_error=mean_error, covariance=covariance,
        covariance_error=error, longer_steps=longer,
    )  # fmt: skip
    print(f"{path.stem}: {runs} runs of {particles} particles, covariance 11, 12, 22")
    upper = np.triu_indices(2)
    for t, C, e, other in zip(times, covariance, error, longer, strict=True):
        values = ", ".join(f"{c:.4f} ± {s:.4f}" for c, s in zip(C[upper], e[upper], strict=True))
        print(f"  t = {t:<6g} {values}; with steps twice as long {other[upper].round(4).tolist()}")


def _mean_of_runs(
    times: Sequence[float], particles: int, step: float, runs: int
) -> tuple[Array, Array, Array, Array]:
    """Mean and covariance over the runs, and the standard errors of both."""
    found = [langevin(times, particles, step, seed) for seed in range(runs)]
    both = [np.stack(part) for part in zip(*found, strict=True)]
    averages = [part.mean(0) for part in both]
    errors = [part.std(0, ddof=1) / np.sqrt(runs) for part in both]
    return averages[0], averages[1], errors[0], errors[1]
