"""What periods and walls ask of a problem's energy and of the map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..cloud import Cloud
from ..domain import Domain
from ..errors import InputError
from ..interactions import InteractionEnergy, NonradialKernel
from ..maps import PushForward
from ..problems import Energy, Problem
from .map import perturbed
from .rounding import rounding_of

_FEW = 64  # samples at which energies and maps are tried


@torch.no_grad()
def check_domain(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Whether every part of the energy has the periods of the domain, and whether the map commutes
    with them and leaves the walls where they are, at slightly perturbed parameters. z: start
    samples, (n, d), of which the first 64 are used.

    Errors: `InputError` that says which has not, does not."""
    domain = problem.domain
    if domain is None:
        return
    z = z[:_FEW]
    for part in problem.energy.parts:
        for j in domain.circles:
            _check_period(part, problem, z, j)
    with perturbed(map):
        check_map_of(map, domain, z)


def check_map_of(map: PushForward, domain: Domain, z: Tensor) -> None:
    """The map as it is. Errors: `InputError`."""
    x = map(z)
    remedy = 'take [[map]] kind = "bounded", which does, alone or composed with others of its kind'
    for j in domain.circles:
        step = domain.shift(j, z)
        off = float((map(z + step) - x - step).abs().max())
        if off > rounding_of(x) * (1 + domain.periods[j]):
            raise InputError(
                f"the map does not commute with the period {domain.periods[j]:g} of coordinate "
                f"{j}: T(z + L e) − T(z) − L e is up to {off:.3g}: {remedy}"
            )
    for j, *ends in domain.intervals:
        for end in ends:
            at = z.clone()
            at[:, j] = end
            off = float((map(at)[:, j] - end).abs().max())
            if off > rounding_of(x) * (1 + abs(end)):
                raise InputError(
                    f"the map moves the wall {end:g} of coordinate {j} by up to {off:.3g}: {remedy}"
                )


def _check_period(part: Energy, problem: Problem, z: Tensor, j: int) -> None:
    """Errors: `InputError` unless a part of the energy has the period of coordinate j."""
    domain = problem.domain
    assert domain is not None
    step = domain.shift(j, z)
    if isinstance(part, InteractionEnergy):
        kernel, apart = part.kernel, z - z.roll(1, 0)
        if isinstance(kernel, NonradialKernel) and _has(kernel.values, apart, step):
            return
        raise InputError(
            f"{kernel} has not the period {domain.periods[j]:g} of coordinate {j}, on whose circle "
            "x − y is known up to a period only: give a NonradialKernel of its cosine and sine "
            "(nearest images would have a kink)"
        )

    def value(x: Tensor) -> Tensor:
        start = problem.start
        cloud = Cloud(x, start.log_density(x), start.score(x))
        return torch.cat([part.integrand(x, cloud.log_density)[:, None], part.force(cloud)], 1)

    if not _has(value, z, step):
        raise InputError(
            f"{part} has not the period {domain.periods[j]:g} of coordinate {j}: give a potential "
            'with V(x + L e) = V(x), as kind = "cosine" of that wavelength'
        )


def _has(function: Callable[[Tensor], Tensor], x: Tensor, step: Tensor) -> bool:
    before = function(x)
    return float((function(x + step) - before).abs().max()) <= 100 * rounding_of(before)
