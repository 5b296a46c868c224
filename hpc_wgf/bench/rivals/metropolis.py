"""Samples of the equilibrium e^{−V/β}/Z alone: chains of the Metropolis-adjusted Langevin algorithm
(G. O. Roberts, R. L. Tweedie, Bernoulli 2 (1996) 341), which begin at the start density.

They do not follow the flow: at its end they are as far off as that is from equilibrium.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...problems import Potential, Problem
from .answer import Answer, Rival
from .law import Law
from .paths import shortest_time

_CHAINS = 5_000  # of the first level; four times as many in every further one
_STEPS = 400  # of a chain
_SHARE = 0.5  # step over the shortest time scale, in one dimension; it falls as d^{−1/3}
_TOGETHER = 2**18  # coordinates of chains that are moved together, as caches hold them


def metropolis(
    potential: Potential, beta: float, x: Tensor, step: float, count: int,
    generator: torch.Generator,
) -> tuple[Tensor, float]:  # fmt: skip
    """Chains after `count` steps from x, (n, d), and the share of proposals that were accepted: to
    y = x − h∇V(x) + (2βh)^½ ξ with the probability min(1, π(y) q(x|y)/π(x) q(y|x))."""
    found, accepted = [], 0.0
    for piece in x.split(max(1, _TOGETHER // x.shape[1])):
        here = piece.clone()
        value, slope = potential(here), potential.gradient(here)
        for _ in range(count):
            noise = torch.randn(here.shape, generator=generator, dtype=here.dtype)
            tried = here - step * slope + (2 * beta * step) ** 0.5 * noise
            new_value, new_slope = potential(tried), potential.gradient(tried)
            back = (here - tried + step * new_slope).square().sum(1) / (4 * beta * step)
            log_ratio = (value - new_value) / beta - back + 0.5 * noise.square().sum(1)
            chance = torch.rand(len(here), generator=generator, dtype=here.dtype)
            moves = chance.log() < log_ratio
            accepted += float(moves.double().mean()) * len(here)
            here = torch.where(moves[:, None], tried, here)
            slope = torch.where(moves[:, None], new_slope, slope)
            value = torch.where(moves, new_value, value)
        found.append(here)
    return torch.cat(found), accepted / (len(x) * count)


def _refusal(problem: Problem) -> str:
    if why := no_reversible_flow(problem):
        return why
    return "" if problem.energy.potential() is not None else "there is no equilibrium"


def _answer(problem: Problem, level: int, seed: int) -> Answer:
    potential, beta = problem.energy.potential(), problem.energy.beta()
    assert potential is not None
    count = _CHAINS * 4**level
    z = problem.start.sample(np.random.default_rng((seed, level)), count).double()
    generator = torch.Generator().manual_seed(1000 * seed + level)
    step = _SHARE * shortest_time(problem) * problem.dimension ** (-1 / 3)
    with torch.no_grad():
        x, _ = metropolis(potential, beta, z, step, _STEPS, generator)
    return Answer(lambda: Law(x.numpy()), count, steps=_STEPS)


METROPOLIS = Rival("samples", _refusal, _answer, levels=5)
