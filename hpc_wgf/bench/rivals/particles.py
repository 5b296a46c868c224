"""Particles that move by x' = −f(x), f the force of all others on each: the exact flow of so many
equal masses where the energy has no part that depends on the density.

Sums of even powers over pairs are taken by their moments, and those of other kernels over all
pairs: so many particles that an energy would take random batches are refused, as each would feel
those of its batch alone. In time by the method of Dormand and Prince of order eight.
"""

from __future__ import annotations

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch

from ...choices import Route
from ...cloud import Cloud
from ...errors import RunError
from ...interactions import Particles
from ...parallel import LocalCommunicator
from ...problems import Problem, SumOfEnergies
from .answer import Answer, Rival, start_points
from .law import Law

Array = np.ndarray
_PARTICLES = 1024  # of the first level; four times as many in every further one
_TOLERANCE = 1e-8


def force_of_position(energy: SumOfEnergies, x: Array) -> Array:
    """f of potentials and interactions, at all particles x there are: (n, d) → (n, d)."""
    places = torch.from_numpy(np.ascontiguousarray(x))
    cloud = Cloud(places, torch.zeros_like(places[:, 0]), torch.zeros_like(places))
    particles = Particles([places], [[len(x)]], LocalCommunicator())
    position_alone = SumOfEnergies([*energy.interactions, *energy.of_position])
    return np.asarray(position_alone.forces([cloud], particles)[0].position.numpy())


def moved(energy: SumOfEnergies, x: Array, span: float, rtol: float) -> tuple[Array, int]:
    """The particles, (n, d), a time `span` later, and the number of steps that were taken. Errors:
    `RunError` where they leave what numbers can hold."""
    size = float(np.std(x))
    path = scipy.integrate.solve_ivp(
        lambda _, y: -force_of_position(energy, y.reshape(x.shape)).ravel(),
        (0.0, span), x.ravel(), method="DOP853", rtol=rtol, atol=rtol * size, t_eval=(span,),
    )  # fmt: skip
    if not path.success:
        raise RunError(f"the particles' equation was not solved to its end: {path.message}")
    return path.y[:, -1].reshape(x.shape), int(path.nfev)


def _refusal(problem: Problem) -> str:
    if problem.energy.needs_density:
        return "the energy depends on the density, which particles do not have"
    return "" if problem.is_plain else "the flow has a mobility, a drift or a moving potential"


def _answer(problem: Problem, level: int, seed: int) -> Answer:
    count = _PARTICLES * 4**level
    if any(part.route_for(count) is Route.BATCHES for part in problem.energy.interactions):
        raise RunError(f"{count} particles would act in random batches, not on all others")
    z = start_points(problem, count, seed, 2).numpy()
    x, evaluations = moved(problem.energy, z, problem.until - problem.start_time, _TOLERANCE)
    return Answer(lambda: Law(x), count, steps=evaluations)


PARTICLES = Rival("particles", _refusal, _answer, levels=5)
