"""The dual form that a step begins with: Γ follows the samples there."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ensemble import Ensemble
from ...errors import StepFailed
from ...maps import PushForward
from ...parallel import tree_sum
from ...problems import Entropy, InternalEnergy, SumOfEnergies
from .dual import Dual, EntropyDual, PowerDual, RatioDual
from .reference import BoxReference, GaussianReference, RowsReference


@torch.no_grad()
def dual_of(
    energy: SumOfEnergies, rows: RowsReference | None, map: PushForward, ensemble: Ensemble,
    margin: float,
) -> Dual:  # fmt: skip
    """That of the energy's part which depends on the density, at the images of samples under a
    map. `rows`: of a target that is known by samples. `margin`: of a box. Collective. Errors:
    `StepFailed` where the images lie on a plane."""
    if rows is not None:
        return RatioDual(rows)
    x = [cloud.x for cloud in ensemble.push(map, density=False, score=False)]
    first = energy.of_density[0]
    if isinstance(first, InternalEnergy):
        return PowerDual(first.m, first.factor, _box(ensemble, x, margin))
    assert isinstance(first, Entropy)  # The problem has been checked.
    return EntropyDual(energy.beta(), _gaussian(ensemble, x))


def _gaussian(ensemble: Ensemble, x: list[Tensor]) -> GaussianReference:
    """Of the same mean and covariance."""
    mean = ensemble.expectation(x)
    sums = []
    for k, each in enumerate(x):
        arm = each.double() - mean
        sums.append(arm.T @ ensemble.weighted(k, arm))
    covariance = ensemble.mean(tree_sum(sums))
    factor, info = torch.linalg.cholesky_ex(covariance)
    if int(info) or not bool(factor.isfinite().all()):
        raise StepFailed("the samples lie on a plane, or are not finite: no Gaussian is like them")
    return GaussianReference(mean, factor)


def _box(ensemble: Ensemble, x: list[Tensor], margin: float) -> BoxReference:
    """Around all samples, and wider by a margin."""
    ranks = ensemble.communicator
    positions = torch.cat(x).double()
    ends = positions.new_zeros(ranks.size, 2, positions.shape[1])
    ends[ranks.rank] = torch.stack([positions.amax(0), -positions.amin(0)])
    upper, lower = ranks.sum(ends).amax(0)
    if not bool((upper + lower > 0).all()):
        raise StepFailed("the samples lie on a plane, or are not finite: no box is around them")
    return BoxReference(0.5 * (upper - lower), 0.5 * (1 + margin) * (upper + lower))
