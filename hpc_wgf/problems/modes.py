"""The modes of e^{−V/β}: minima of the potential, sought from start samples.

A mode that no sample leads to loses its mass, and no energy shows it. The share of the samples that
lead to a mode of their own, to which no other led, estimates the mass of the basins not seen yet
(I. J. Good, Biometrika 40 (1953) 237): where it is large, more samples are taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from .named_potentials import GaussianMixture
from .potentials import Potential, with_hessian

_FIRST = 256  # samples from which modes are sought, and four times as many where they do not do
_UNSEEN = 0.05  # of the mass may lie in basins that no sample leads to
_HOPELESS = 0.5  # More samples are of no use, where so many lead to a mode of their own.
_APART = 0.1  # Minima nearer to each other, in deviations of a mode, are the same.
_FLATTER = 1e-4  # A descent ends where its force has fallen by this,
_MOST_STEPS = 400  # or after so many steps,
_NEWTON_STEPS = 6  # as these do the rest.
_ENOUGH = 0.1  # of the decrease that a step promises
_FIRST_MOVE = 0.1  # First steps are so long, in deviations of the samples,
_LONGEST = 1.0  # and none is longer than this.
_SETTLED = 1e-4  # The last of them, in deviations of the mode.
_DIGITS = 6  # of a deviation that are kept: those below differ from machine to machine
_LEAST = 1e-30  # A mode that has no mass may be where samples start.


class Modes(NamedTuple):
    """Modes of e^{−V/β}."""

    centres: Tensor
    """μ_k, the minima of V, (K, d) in float64, in units of x."""
    variance: float
    """σ², the mean over the modes of βd / tr ∇²V(μ_k), in units of x²."""
    weights: Tensor | None = None
    """w_k, their shares of the mass up to a factor, (K,) in float64: those of Gaussians with the
    heights and the widths of the modes. None for equal ones."""


def find_modes(potential: Potential, beta: float, z: Tensor, *, first: int = _FIRST) -> Modes:
    """The modes that the descents from samples z, (n, d) in float64, lead to: a function of these
    alone. Of a Gaussian mixture, its means, variance and weights. `first`: descents that are made
    at least, and where they do not do four times as many, again and again.

    Errors: `InputError` for β = 0, where no sample leads to a mode, or where modes are too many to
    be found.
    """
    if isinstance(potential, GaussianMixture):
        return Modes(potential.means.clone(), potential.variance, potential.weights.clone())
    if not beta > 0:
        raise InputError("modes have a width only where there is an entropy of beta > 0")
    count = first
    while True:
        some = z[:count]
        centres, variances, masses, basins = _distinct(potential, beta, some)
        alone = int((basins == 1).sum())
        if not len(centres):
            raise InputError(
                f"none of {len(some)} descents along the potential from start samples ends at a "
                "minimum with a positive definite Hessian: give the centres, or another map"
            )
        if alone <= _UNSEEN * len(some):
            return _rounded(centres, float(variances.mean()), masses)
        if count >= len(z) or alone > _HOPELESS * len(some):
            raise InputError(
                f"{len(some)} descents along the potential from start samples end at "
                f"{len(centres)} different minima, {alone} of them seen only once: too many to be "
                "found. Take another map (splines where the coordinates do not talk to each other)"
            )
        count *= 4


def _distinct(
    potential: Potential, beta: float, z: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The minima to which samples z lead, (K, d), their variances βd/tr ∇²V, the logarithms of
    their masses, and the number of samples that lead to each, (K,)."""
    x, variances, masses = _minima(potential, beta, z)
    kept, members = [], []
    left = torch.arange(len(x))
    while len(left):
        k = int(left[0])
        same = (x[left] - x[k]).norm(dim=1) <= _APART * float(variances[k]) ** 0.5
        kept.append(k)
        members.append(int(same.sum()))
        left = left[~same]
    return x[kept], variances[kept], masses[kept], torch.tensor(members, dtype=torch.int64)


def _minima(potential: Potential, beta: float, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The ends of the descents that are minima, (m, d), and there βd/tr ∇²V and the logarithm
    −V/β − ½ log det ∇²V of the mass but for a constant, (m,)."""
    x = _descended(potential, z)
    step = torch.full_like(x, math.inf)
    for turn in range(_NEWTON_STEPS + 1):
        finite = x.isfinite().all(1)
        gradient, product = with_hessian(potential, x[finite])
        hessian = torch.stack([product(axis) for axis in torch.eye(z.shape[1]).to(z)], 1)
        sound = gradient.isfinite().all(1) & hessian.isfinite().flatten(1).all(1)
        factors, failed = torch.linalg.cholesky_ex(hessian)
        sound &= failed == 0
        x, step = x[finite][sound], step[finite][sound]
        hessian, factors = hessian[sound], factors[sound]
        if turn < _NEWTON_STEPS:
            step = torch.linalg.solve(hessian, gradient[sound][:, :, None])[:, :, 0]
            x = x - step
    variances = beta * x.shape[1] / hessian.diagonal(dim1=1, dim2=2).sum(1)
    masses = -potential(x) / beta - factors.diagonal(dim1=1, dim2=2).log().sum(1)
    settled = step.norm(dim=1) <= _SETTLED * variances.sqrt()
    return x[settled], variances[settled], masses[settled]


@torch.no_grad()
def _descended(potential: Potential, z: Tensor) -> Tensor:
    """Ends of descents from samples z, (n, d), every one for itself: along the gradient with the
    steps of Barzilai and Borwein (IMA J. Numer. Anal. 8 (1988) 141), shortened until V falls."""
    ends, active = z.clone(), torch.arange(len(z))
    spread = float((z - z.mean(0)).square().sum(1).mean().sqrt()) or 1.0
    x, value, gradient = z, potential(z), potential.gradient(z)
    last = _FLATTER * gradient.norm(dim=1)
    step = _FIRST_MOVE * spread / gradient.norm(dim=1)
    for _ in range(_MOST_STEPS):
        size = gradient.norm(dim=1)
        goes_on = (size > last) & value.isfinite() & size.isfinite()
        if not bool(goes_on.all()):
            active, x, value, gradient, step, last, size = (
                each[goes_on] for each in (active, x, value, gradient, step, last, size)
            )
            if not len(active):
                break
        step = torch.minimum(step, _LONGEST * spread / size)
        tried = x - step[:, None] * gradient
        reached = potential(tried)
        falls = reached <= value - _ENOUGH * step * size.square()
        moved = torch.where(falls[:, None], tried, x)
        slope = potential.gradient(moved)
        bend = ((moved - x) * (slope - gradient)).sum(1)
        secant = (moved - x).square().sum(1) / bend
        step = torch.where(falls, torch.where(bend > 0, secant, 4 * step), step / 4)
        x, gradient, value = moved, slope, torch.where(falls, reached, value)
        ends[active] = x
    return ends


def _rounded(centres: Tensor, variance: float, masses: Tensor) -> Modes:
    """Modes whose numbers end before those digits that rounding errors reach, in lexical order."""
    unit = 10.0 ** (math.floor(math.log10(variance**0.5)) - _DIGITS)
    weights = (masses - masses.max()).exp()
    rows = sorted(zip((centres / unit).round().tolist(), weights.tolist(), strict=True))
    centres = torch.tensor([centre for centre, _ in rows], dtype=torch.float64) * unit
    digits = [float(f"{weight:.{_DIGITS}g}") for _, weight in rows]
    weights = torch.tensor(digits, dtype=torch.float64).clamp(min=_LEAST)
    return Modes(centres, float(f"{variance:.{_DIGITS}g}"), weights)
