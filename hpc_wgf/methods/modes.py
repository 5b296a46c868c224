"""The modes of a problem's target, sought until gates at them hold the force at the start."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..checks import MOST_LEFT_OVER, force_left_over
from ..errors import InputError
from ..maps import SoftmaxGates
from ..problems import GaussianMixture, Modes, Problem, find_modes
from .base import layout_samples, start_frame

_WIDER = 2.0  # Samples are sought from so much further out.


@lru_cache(maxsize=1)  # A map that is tried before it is taken is built twice.
def target_modes(problem: Problem) -> Modes:
    """The modes of e^{−V/β}, as `find_modes` gives them for start samples. Where gates at these
    leave much of the force at the start over, more samples are taken, the same ones twice as far
    from their mean among them, and the further modes count if they leave less. So do the weights of
    the modes.

    Errors: `InputError` where there is no potential, or where no modes are found."""
    potential, beta = problem.energy.potential(), problem.energy.beta()
    if potential is None:
        raise InputError(
            "a softmax map takes its centres from the modes of the potential, and there is none: "
            "give centres and variance, or a number of clusters (present)"
        )
    z = layout_samples(problem.start)
    modes, left = _weighted(problem, find_modes(potential, beta, z))
    if isinstance(potential, GaussianMixture) or left <= MOST_LEFT_OVER:
        return modes
    mean = z.mean(0)
    wider = torch.cat([z, mean + _WIDER * (z - mean)])
    try:
        further, less = _weighted(problem, find_modes(potential, beta, wider, first=len(wider)))
    except InputError:  # Far out there may be more than can be found.
        return modes
    return further if less < left else modes


def _weighted(problem: Problem, modes: Modes) -> tuple[Modes, float]:
    """The modes with or without their weights, as gates at them leave less of the force at the
    start over, and that share: 0 where it cannot be told, 1 where there is one mode."""
    if len(modes.centres) < 2:
        return modes, 1.0
    choices = [modes, modes._replace(weights=None)]
    left = [_left_over(problem, each) for each in choices]
    best = min(range(2), key=lambda k: left[k])
    return choices[best], left[best]


def _left_over(problem: Problem, modes: Modes) -> float:
    gates = SoftmaxGates(
        problem.dimension, modes.centres, variance=modes.variance, weights=modes.weights, present=0
    )
    gates.lay_out(start_frame(problem.start))
    return force_left_over(problem, gates, layout_samples(problem.start)) or 0.0
