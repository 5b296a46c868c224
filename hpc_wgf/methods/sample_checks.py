"""What is refused of the samples on which any method computes its steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..checks import check_cloud
from ..choices import Route, Sampling
from ..cloud import Cloud
from ..errors import InputError
from ..maps import MapState
from ..problems import CovarianceMobility, Problem
from .base import SampleOptions

_LEAST_EFFECTIVE = 0.02  # of the samples, by (Σw)²/Σw²


def check_samples(problem: Problem, options: SampleOptions, particles: int) -> None:
    """Errors: `InputError` where the samples of steps, or the `particles` of the evaluation sample,
    are too few for a mobility, or are drawn as the energy does not bear it."""
    if isinstance(problem.mobility, CovarianceMobility):
        _check_covariance(problem.dimension, options.samples, "method.samples")
        _check_covariance(problem.dimension, particles, "output.particles")
    routes = [part.route_for(options.samples) for part in problem.energy.interactions]
    if options.sampling is Sampling.SOBOL and Route.BATCHES in routes:
        raise InputError(
            "random batches take consecutive samples as independent, and Sobol points keep apart "
            'from each other: sums over pairs would be wrong. Use method.sampling = "random", or '
            "another route than batches for the interaction"
        )


def _check_covariance(dimension: int, samples: int, key: str) -> None:
    """Errors: `InputError` where samples are too few for a covariance that is not singular."""
    if samples <= dimension:
        raise InputError(
            f"the mobility is the covariance of {samples} samples, which in {dimension} dimensions "
            f"is singular: take more than {dimension} ({key}), a few times as many at least"
        )


def check_first_samples(
    problem: Problem, samples: int, map: MapState, clouds: Sequence[Cloud]
) -> None:
    """The energy, and the map's being the identity, at every sample that the first step sees."""
    for part in problem.energy.interactions:
        part.check_particles(samples)
    for cloud in clouds:
        check_cloud(problem, map.map, cloud)


def check_weights(clouds: Sequence[Cloud]) -> None:
    """Errors: `InputError` where so few of this rank's samples have all the weight that means over
    them tell nothing."""
    known = [weight for cloud in clouds if (weight := cloud.weight) is not None]
    if not known:
        return
    weights = torch.cat(known).double()
    effective = float(weights.sum().square() / weights.square().sum().clamp(min=1e-300))
    if not effective >= _LEAST_EFFECTIVE * len(weights):
        raise InputError(
            f"the importance weights of {len(weights)} samples are those of {effective:.3g}: the "
            "density that they are drawn from hardly meets the start density. Use "
            'method.proposal = "none"'
        )
