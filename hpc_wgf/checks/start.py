"""The list of checks before a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ..cloud import Cloud
from ..ensemble import Ensemble
from ..maps import PushForward
from ..problems import Problem
from .density import check_mass
from .derivatives import check_derivatives
from .functions import check_gradients, check_potentials, check_walls
from .map import check_differentiable, check_each_alone, check_identity, check_smooth
from .module import check_effects, check_module
from .periods import check_periods
from .transport import check_transport


def check_start(problem: Problem, map: PushForward, evaluation: Ensemble) -> None:
    """Check energy, start density and map on this rank's part of the evaluation sample.

    Errors: `InputError` from the first check that fails."""
    first = evaluation.chunks[0]
    listed: list[Callable[[], None]] = [
        partial(check_particles, problem, evaluation),
        partial(check_effects, map, first.x),
        partial(check_potentials, problem, first.x),
        *(partial(check_cloud, problem, map, cloud) for cloud in evaluation.chunks),
        partial(check_each_alone, problem, map, first.x),
        partial(check_gradients, problem, first.x),
        partial(check_walls, problem, torch.cat([chunk.x for chunk in evaluation.chunks])),
        partial(check_module, map, first.x),
        partial(check_periods, problem, map, first.x),
        partial(check_differentiable, map, first),
        partial(check_mass, problem),
        partial(check_smooth, problem, map, first.x),
        partial(check_derivatives, problem, first),
        partial(check_transport, map, first),
    ]
    for check in listed:
        check()


def check_particles(problem: Problem, evaluation: Ensemble) -> None:
    """Errors: `InputError` if the evaluation sample has too few particles for an interaction."""
    for part in problem.energy.interactions:
        part.check_particles(evaluation.total)


def check_cloud(problem: Problem, map: PushForward, cloud: Cloud) -> None:
    """Errors: `InputError` unless start density and energy are finite at the samples of `cloud` and
    the map leaves them where they are."""
    problem.check(cloud.x, cloud)
    check_identity(map, cloud.x)
