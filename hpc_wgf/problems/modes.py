"""The modes of e^{−V/β}: minima of the potential, sought from start samples.

A mode that no sample leads to loses its mass, and no energy shows it. The share of the samples that
lead to a mode of their own, to which no other led, estimates the mass of the basins not seen yet
(I. J. Good, Biometrika 40 (1953) 237): where it is large, more samples are taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ..errors import InputError
from .named_potentials import GaussianMixture
from .potentials import Potential, with_hessian

_FIRST = 256  # samples from which modes are sought, and four times as many where they do not do
_UNSEEN = 0.05  # of the mass may lie in basins that no sample leads to
_HOPELESS = 0.5  # More samples are of no use, where so many lead to a mode of their own.
_APART = 0.1  # Minima nearer to each other, in deviations of a mode, are the same.
_FLATTER = 1e-5  # The descent ends where the largest force has fallen by this,
_NEWTON_STEPS = 3  # as these steps do the rest.
_SETTLED = 1e-4  # The last of them, in deviations of the mode.
_DIGITS = 6  # of a deviation that are kept: those below differ from machine to machine


class Modes(NamedTuple):
    """Modes of e^{−V/β}."""

    centres: Tensor
    """μ_k, the minima of V, (K, d) in float64, in units of x."""
    variance: float
    """σ², the mean over the modes of βd / tr ∇²V(μ_k), in units of x²."""


def find_modes(potential: Potential, beta: float, z: Tensor) -> Modes:
    """The modes that the descents from samples z, (n, d) in float64, lead to: a function of these
    alone. Of a Gaussian mixture, its means and variance.

    Errors: `InputError` for β = 0, where no sample leads to a mode, or where modes are too many to
    be found.
    """
    if isinstance(potential, GaussianMixture):
        return Modes(potential.means.clone(), potential.variance)
    if not beta > 0:
        raise InputError("modes have a width only where there is an entropy of beta > 0")
    count = _FIRST
    while True:
        some = z[:count]
        centres, variances, basins = _distinct(potential, beta, some)
        alone = int((basins == 1).sum())
        if not len(centres):
            raise InputError(
                f"none of {len(some)} descents along the potential from start samples ends at a "
                "minimum with a positive definite Hessian: give the centres, or another map"
            )
        if alone <= _UNSEEN * len(some):
            return _rounded(centres, float(variances.mean()))
        if count >= len(z) or alone > _HOPELESS * len(some):
            raise InputError(
                f"{len(some)} descents along the potential from start samples end at "
                f"{len(centres)} different minima, {alone} of them seen only once: too many to be "
                "found. Take another map (splines where the coordinates do not talk to each other)"
            )
        count *= 4


def _distinct(potential: Potential, beta: float, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The minima to which samples z lead, (K, d), their variances βd/tr ∇²V, (K,), and the number
    of samples that lead to each, (K,)."""
    x, variances = _minima(potential, beta, z)
    kept, members = [], []
    left = torch.arange(len(x))
    while len(left):
        k = int(left[0])
        same = (x[left] - x[k]).norm(dim=1) <= _APART * float(variances[k]) ** 0.5
        kept.append(k)
        members.append(int(same.sum()))
        left = left[~same]
    return x[kept], variances[kept], torch.tensor(members, dtype=torch.int64)


def _minima(potential: Potential, beta: float, z: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of the descents that are minima, (m, d), and βd/tr ∇²V there, (m,)."""
    x = _descended(potential, z)
    step = torch.full_like(x, math.inf)
    for turn in range(_NEWTON_STEPS + 1):
        finite = x.isfinite().all(1)
        gradient, product = with_hessian(potential, x[finite])
        hessian = torch.stack([product(axis) for axis in torch.eye(z.shape[1]).to(z)], 1)
        sound = gradient.isfinite().all(1) & hessian.isfinite().flatten(1).all(1)
        _, failed = torch.linalg.cholesky_ex(hessian)
        sound &= failed == 0
        x, step = x[finite][sound], step[finite][sound]
        hessian = hessian[sound]
        if turn < _NEWTON_STEPS:
            step = torch.linalg.solve(hessian, gradient[sound][:, :, None])[:, :, 0]
            x = x - step
    variances = beta * x.shape[1] / hessian.diagonal(dim1=1, dim2=2).sum(1)
    settled = step.norm(dim=1) <= _SETTLED * variances.sqrt()
    return x[settled], variances[settled]


def _descended(potential: Potential, z: Tensor) -> Tensor:
    """Ends of descents from samples z, (n, d): those of the sum of V over all, by L-BFGS."""

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(flat.copy()).view(z.shape)
        with torch.no_grad():
            return float(potential(x).sum()), potential.gradient(x).numpy().ravel()

    start = z.numpy().ravel()
    steepest = float(np.abs(value_and_gradient(start)[1]).max())
    found = scipy.optimize.minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B",
        options={"gtol": _FLATTER * steepest, "ftol": 0.0, "maxiter": 500, "maxfun": 1000},
    )  # fmt: skip
    return torch.from_numpy(found.x).view(z.shape)


def _rounded(centres: Tensor, variance: float) -> Modes:
    """Modes whose numbers end before those digits that rounding errors reach, in lexical order."""
    unit = 10.0 ** (math.floor(math.log10(variance**0.5)) - _DIGITS)
    ordered = sorted((centres / unit).round().tolist())
    centres = torch.tensor(ordered, dtype=torch.float64) * unit
    return Modes(centres, float(f"{variance:.{_DIGITS}g}"))
