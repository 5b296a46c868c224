"""Expectations of the stationary density Q ∝ e^{−V/β}, by importance weights."""

from __future__ import annotations

import math

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..methods.modes import target_modes
from ..problems import GaussianMixture, Problem
from ..report.further import Expectations

_SMALLEST_TAIL = 5  # weights from which a law is fitted
_WIDEST = 64  # dimensions in which modes are sought, which takes full Hessians


def expectations(problem: Problem, cloud: Cloud, time: float) -> Expectations:
    """Means, variances and shares of the modes of Q from samples of ρ with log ρ.

    `cloud`: x, (n, d), log ρ and, where they were drawn with importance weights, these. Samples at
    which the map has folded are left out. Errors: `InputError` where Q is not e^{−V/β}.
    """
    potential, beta = problem.energy.potential(), problem.energy.beta()
    if not problem.tends_to_minimum or potential is None or not beta > 0:
        raise InputError(
            "expectations of the stationary density need an energy ∫Vρ + β∫ρ log ρ with β > 0, no "
            "drift, and no mobility but a matrix or the covariance: for other flows none is known"
        )
    known = cloud.unfolded & cloud.log_density.isfinite()
    cloud = cloud.at(known)
    if len(cloud.x) < 2:
        raise InputError(f"the density is known at {len(cloud.x)} of {len(known)} samples")
    x, own = cloud.x.double(), cloud.log_weight
    of_map = torch.full_like(x[:, 0], -math.log(len(x))) if own is None else own.double()
    log_weights = of_map - potential(x) / beta - cloud.log_density.double()
    if bool(log_weights.isnan().any()):
        raise InputError(
            "some importance weights are not a number: the potential has none at samples of the map"
        )
    alone, weights = of_map.softmax(0), log_weights.softmax(0)
    mean, mean_error = _mean(x, weights)
    variance, variance_error = _mean((x - mean).square(), weights)
    itself = alone @ x
    modes, belongs = _modes(problem, x)
    shares = None if belongs is None else _mean(belongs, weights)
    return Expectations(
        time=time,
        mean=itself.tolist(),
        mean_weighted=mean.tolist(),
        mean_error=mean_error.tolist(),
        variance=(alone @ (x - itself).square()).tolist(),
        variance_weighted=variance.tolist(),
        variance_error=variance_error.tolist(),
        modes=None if modes is None else modes.tolist(),
        shares=None if belongs is None else (alone @ belongs).tolist(),
        shares_weighted=None if shares is None else shares[0].tolist(),
        shares_error=None if shares is None else shares[1].tolist(),
        effective_samples=float(1 / weights.square().sum()),
        tail_index=tail_index(log_weights),
    )


def _mean(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Σwa and its standard error (Σw²(a − Σwa)²)^½, for values a, (n, k), and weights of sum 1."""
    mean = weights @ values
    return mean, (weights.square() @ (values - mean).square()).sqrt()


def _modes(problem: Problem, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The modes of Q, (K, d), and to which of them samples belong, (n, K) of 0 and 1: to the most
    likely component of a mixture, else to the nearest mode. None where there are not several."""
    potential = problem.energy.potential()
    mixture = isinstance(potential, GaussianMixture)
    convexity = None if potential is None else potential.convexity()
    if not mixture and (problem.dimension > _WIDEST or (convexity is not None and convexity > 0)):
        return None, None
    try:
        centres = target_modes(problem).centres
    except InputError:
        return None, None
    if len(centres) < 2:
        return None, None
    if isinstance(potential, GaussianMixture):
        nearest = potential.nearest_mode(x)
    else:
        nearest = torch.cdist(x, centres.to(x)).argmin(1)
    return centres, torch.nn.functional.one_hot(nearest, len(centres)).double()


def tail_index(log_weights: Tensor) -> float | None:
    """k̂ of the generalised Pareto law that fits the largest weights best, as many of n as
    min(n/5, 3√n). None where these are equal or too few."""
    n = len(log_weights)
    count = int(min(n / 5, 3 * n**0.5))
    if count < _SMALLEST_TAIL:
        return None
    top = log_weights.topk(count + 1).values
    tail = np.exp((top - top[0]).numpy())
    excess = tail[:-1] - tail[-1]
    excess = excess[excess > 0] / excess.mean() if excess.mean() > 0 else excess[:0]
    if len(excess) < _SMALLEST_TAIL:
        return None
    return float(scipy.stats.genpareto.fit(excess, floc=0)[0])
