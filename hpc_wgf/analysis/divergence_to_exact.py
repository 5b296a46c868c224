"""KL(ρ_θ‖ρ) of the density of a map's images to the exact one of the flow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..kinds import check_whole
from ..problems import Problem, is_known
from .langevin_paths import LangevinPaths

PATHS = 1000
"""Paths from each point, by default."""
_TOLERANCE = 0.01  # Larger biases that are taken off are trusted up to a share of the value,
_SHARE = 0.1  # this one.
_FIRST, _LAST = 4, 1024  # steps of a path
_ROUNDING = 1e-9  # by which estimates may differ in any case
_SURE = 4.0  # standard errors
_NEGLIGIBLE = 1e-5  # of the mass, as roundings in single precision are


@dataclass(frozen=True)
class ExactDivergence:
    """KL(ρ_θ‖ρ), ρ_θ the density of a map's images and ρ that of the flow."""

    value: float | None
    """KL(ρ_θ‖ρ). None where it cannot be had."""
    standard_error: float | None
    """Of `value`, by the differences between the points; the paths' noise is in them."""
    bias: float
    """What has been taken off, as the logarithm of a mean of M paths is too small on average."""
    steps: int
    """Steps of a path: with half as many, `value` differs by less than two standard errors."""
    note: str = ""
    """Why there is no value, or what else is to be known of it: a clause for a reader."""


def no_reversible_flow(problem: Problem) -> str:
    """Why the flow of `problem` is no reversible Fokker–Planck flow from a known density; "" where
    it is one."""
    if not problem.energy.is_fokker_planck:
        return "the energy is not of the form ∫Vρ + β∫ρ log ρ"
    if not problem.is_plain:
        return "the flow has a mobility or a drift"
    if not problem.energy.beta() > 0:
        return "there is no entropy, or its coefficient is 0"
    if not is_known(problem.start):
        return "the start density is known by samples alone"
    return ""


def exact_divergence(
    problem: Problem, cloud: Cloud, time: float, *, paths: int = PATHS, seed: int = 0
) -> ExactDivergence:
    """KL(ρ_θ‖ρ(t)) for samples of ρ_θ, ρ the flow of `problem`, a reversible Fokker–Planck flow.

    `cloud`: samples with log ρ_θ, points for short. `time`: t. `paths`: Langevin paths from each
    point (see `LangevinPaths`), an even number. Their steps are halved until that changes the value
    by less than two standard errors; of order two, it is then off by less than one. `seed`: of the
    paths.

    With Δ = log ρ_θ − log ρ, KL is the mean of Δ + α(e^{−Δ} − 1), which varies less than Δ and has
    the same mean where E[ρ/ρ_θ] = 1; where the points show that this is not so, it is that of Δ.
    For small Δ α is nearly 1, and errors of ρ cancel to first order. α is that of least variance.
    The bias, of order 1/M for M paths, is taken off by the jackknife of their halves. There is no
    value where it is above .01 and above a tenth of the value: more paths are needed then.

    Errors: `InputError` for other flows, an odd number of paths or a time before the start.
    """
    for number, name, least in ((paths, "paths", 2), (seed, "seed", 0)):
        check_whole(number, name)
        if number < least:
            raise InputError(f"{name} must be at least {least}, got {number}")
    if paths % 2:
        raise InputError(f"paths are taken in two halves: give an even number, not {paths}")
    if reason := no_reversible_flow(problem):
        raise InputError(f"the exact density is told by Langevin paths, and {reason}")
    span = time - problem.start_time
    if not span >= 0:
        raise InputError(f"t = {time:g} is before the start of the flow, {problem.start_time:g}")
    known = cloud.unfolded & cloud.log_density.isfinite()
    x, log_density = cloud.x[known].double().cpu(), cloud.log_density[known].double().cpu()
    if len(x) < 2:
        return _none(f"the density is known at {len(x)} of {len(known)} samples of the map")
    if span == 0.0:
        start = log_density - problem.start.log_density(x)
        return _divergence(torch.stack([start, start], 1)).checked(0)
    return _by_halving(LangevinPaths(problem, span, x), x, log_density, paths, seed)


def _by_halving(
    flow: LangevinPaths, x: Tensor, log_density: Tensor, paths: int, seed: int
) -> ExactDivergence:
    """Estimates with more and more steps, until two agree."""
    last, steps = None, _FIRST
    while steps <= _LAST:
        means = flow.means(x, paths=paths, steps=steps, key=(seed, steps))
        if means is not None:
            if not bool(means.halves.isfinite().all()):
                return _none("no path from some samples ends where the start density is positive")
            found = _divergence(log_density[:, None] - means.halves)
            if last is not None and found.agrees_with(last):
                return found.checked(steps)
            last = found
        steps *= 2
    return _none(f"paths of {_LAST} steps are still too coarse for so steep a potential")


class _Estimate(NamedTuple):
    """KL and what is known of it."""

    value: float
    error: float
    bias: float
    missed: float
    """1 − E[ρ/ρ_θ] over the samples where that is sure to differ from 0, else 0."""

    def agrees_with(self, other: _Estimate) -> bool:
        """Whether these are the same but for noise."""
        return abs(self.value - other.value) <= max(2 * self.error, _ROUNDING)

    def checked(self, steps: int) -> ExactDivergence:
        """The result, which has no value where the bias is too large to be trusted."""
        if self.bias > max(_TOLERANCE, _SHARE * self.value):
            return _none(
                "it has not converged: the logarithm of a mean of so few paths is off by about "
                f"{self.bias:.2g}"
            )
        note, ratio = "", 1 - self.missed
        if self.missed > 0:
            note = (
                f"E[ρ/ρ_θ] is {ratio:.3g}, not 1: where the rest of the mass is, the map has none"
            )
        elif self.missed < 0:
            note = f"E[ρ/ρ_θ] is {ratio:.3g}, not 1: the map's density is too small, it has folded"
        return ExactDivergence(self.value, self.error, self.bias, steps, note)


def _divergence(differences: Tensor) -> _Estimate:
    """From Δ by both halves of the paths, (n, 2)."""
    # The mean of both estimates of ρ/ρ_θ, e^{−Δ}, is unbiased; the logarithm needs the jackknife.
    whole = math.log(2) - torch.logsumexp(-differences, 1)
    ratio = torch.exp(-whole)
    bias = differences.mean(1) - whole
    apart = 1 - float(ratio.mean())
    missed = apart if abs(apart) > max(_SURE * _error(ratio), _NEGLIGIBLE) else 0.0
    each = whole - bias
    if not missed:
        each = each + _least_variance(each, ratio) * (ratio - 1)
    return _Estimate(float(each.mean()), _error(each), float(bias.mean()), missed)


def _least_variance(values: Tensor, control: Tensor) -> float:
    """α for which values + α·control varies least, (n,) both."""
    apart = control - control.mean()
    square = float(apart @ apart)
    return -float(values @ apart) / square if square else 0.0


def _error(values: Tensor) -> float:
    """The standard error of the mean of values, (n,)."""
    return float(values.std()) / len(values) ** 0.5


def _none(note: str) -> ExactDivergence:
    return ExactDivergence(None, None, 0.0, 0, note)
