"""What the periods of coordinates ask of a problem's energy and of the map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..interactions import InteractionEnergy, NonradialKernel
from ..maps import PushForward
from ..periods import Periods
from ..problems import Energy, Problem
from .map import perturbed
from .rounding import rounding_of

_FEW = 64  # samples at which energies and maps are tried
_SLACK = 100  # times rounding: what is a period away has other digits


@torch.no_grad()
def check_periods(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Whether every part of the energy has the periods, and whether the map commutes with them. z:
    start samples, (n, d), of which the first 64 are used.

    Errors: `InputError` that says which has not, or does not."""
    periods = problem.periods
    if periods is None:
        return
    z = z[:_FEW]
    for j in periods.circles:
        for part in problem.energy.parts:
            if isinstance(part, InteractionEnergy):
                _check_interaction(part, periods, z, j)
            else:
                _check_part(part, problem, periods, z, j)
    check_commutes(map, periods, z)


@torch.no_grad()
def check_commutes(map: PushForward, periods: Periods | None, z: Tensor) -> None:
    """Errors: `InputError` unless the map commutes with the periods, at slightly perturbed
    parameters and the first 64 of the samples z, (n, d)."""
    if periods is None:
        return
    with perturbed(map):
        for j in periods.circles:
            _check_map(map, periods, z[:_FEW], j)


def _check_map(map: PushForward, periods: Periods, z: Tensor, j: int) -> None:
    step = periods.shift(j, z)
    x = map(z)
    off = float((map(z + step) - x - step).abs().max())
    if off > _SLACK * rounding_of(x):
        raise InputError(
            f"the map does not commute with the period {periods.lengths[j]:g} of coordinate {j}: "
            f'T(z + L e) − T(z) − L e is up to {off:.3g}: take [[map]] kind = "periodic", or '
            "features of cos and sin(2πz/L)"
        )


def _check_interaction(part: InteractionEnergy, periods: Periods, z: Tensor, j: int) -> None:
    kernel, apart = part.kernel, z - z.roll(1, 0)
    if not (isinstance(kernel, NonradialKernel) and _same(kernel.values, apart, periods, j)):
        raise InputError(
            f"{kernel} has not the period {periods.lengths[j]:g} of coordinate {j}, on whose "
            "circle x − y is known up to a period only: give a NonradialKernel of cosine and sine "
            "(the nearest image would give J a kink half a circle away)"
        )


def _check_part(part: Energy, problem: Problem, periods: Periods, z: Tensor, j: int) -> None:
    assert not isinstance(part, InteractionEnergy)
    start = problem.start

    def values(x: Tensor) -> Tensor:
        cloud = Cloud(x, start.log_density(x), start.score(x))
        return torch.cat([part.integrand(x, cloud.log_density)[:, None], part.force(cloud)], 1)

    if not _same(values, z, periods, j):
        raise InputError(
            f"{part} has not the period {periods.lengths[j]:g} of coordinate {j}: give a potential "
            'with V(x + L e) = V(x), as kind = "cosine" with a wavelength of which L is a multiple'
        )


def _same(function: Callable[[Tensor], Tensor], x: Tensor, periods: Periods, j: int) -> bool:
    """Whether a function has the same values a period away."""
    before = function(x)
    apart = (function(x + periods.shift(j, x)) - before).abs().max()
    return bool(apart <= _SLACK * rounding_of(before))
