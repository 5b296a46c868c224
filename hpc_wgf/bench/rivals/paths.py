"""Independent paths of dX = −∇V(X) dt + (2β)^½ dW by the method of Euler and Maruyama: samples of
the Fokker–Planck equation, of weak order one (D. Talay, L. Tubaro, Stoch. Anal. Appl. 8 (1990)
483)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...parallel import samples_to_check
from ...problems import Potential, Problem
from .answer import Answer, Rival
from .law import Law

_PATHS = 10_000  # of the first level; four times as many in every further one,
_SHARE = 0.1  # and half the step, that of the first being so much of the shortest time scale.
_ROUGH = 0.5  # the same of paths that only tell where the end lies
_MOST_SCALES = 1e4  # shortest time scales that a flow may last, as steps are a tenth of one
_TOGETHER = 2**18  # coordinates of paths that are moved together, as caches hold them
_LOOKED_AT = 256  # start samples at which the time scale is found


def euler_maruyama(
    potential: Potential | None, beta: float, x: Tensor, span: float, steps: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """X at the time `span` from X = `x`, (n, d) in float64: x ← x − h∇V(x) + (2βh)^½ ξ, `steps`
    times, h = span/steps."""
    h = span / steps
    found = []
    for piece in x.split(max(1, _TOGETHER // x.shape[1])):
        here = piece.clone()
        for _ in range(steps):
            noise = torch.randn(here.shape, generator=generator, dtype=here.dtype)
            if potential is not None:
                here -= h * potential.gradient(here)
            here += (2 * beta * h) ** 0.5 * noise
        found.append(here)
    return torch.cat(found)


def stiffness(potential: Potential | None, x: Tensor) -> float:
    """The largest |∇²V e_j| at points x, (n, d), by differences along the axes; 0 without V."""
    if potential is None:
        return 0.0
    gradient, largest = potential.gradient(x), 0.0
    width = 1e-4 * float(x.std(0).max())
    for j in range(x.shape[1]):
        moved = x.clone()
        moved[:, j] += width
        change = (potential.gradient(moved) - gradient).norm(dim=1).max()
        largest = max(largest, float(change) / width)
    return largest


def shortest_time(problem: Problem) -> float:
    """1/L, L the `stiffness` of the potential at a few start samples; at most the time span."""
    few = samples_to_check(problem.start.sample, _LOOKED_AT).double()
    rate = stiffness(problem.energy.potential(), few)
    return 1.0 / max(rate, 1.0 / (problem.until - problem.start_time))


def too_stiff(problem: Problem) -> str:
    """Why explicit steps do not come to the end of a flow in any reasonable time; "" where they
    do."""
    scales = (problem.until - problem.start_time) / shortest_time(problem)
    if scales <= _MOST_SCALES:
        return ""
    return f"the flow lasts {scales:.1g} of its shortest time scales, too many for explicit steps"


def rough_paths(problem: Problem, z: Tensor) -> Tensor:
    """X at the end from X = z, (n, d), by long steps: where the end of a flow lies."""
    span = problem.until - problem.start_time
    steps = math.ceil(span / (_ROUGH * shortest_time(problem)))
    potential, beta = problem.energy.potential(), problem.energy.beta()
    generator = torch.Generator().manual_seed(0)
    return euler_maruyama(potential, beta, z, span, steps, generator)


def _answer(problem: Problem, level: int, seed: int) -> Answer:
    potential, beta = problem.energy.potential(), problem.energy.beta()
    span = problem.until - problem.start_time
    steps = math.ceil(span / (_SHARE * shortest_time(problem))) * 2**level
    count = _PATHS * 4**level
    z = problem.start.sample(np.random.default_rng((seed, level)), count).double()
    generator = torch.Generator().manual_seed(1000 * seed + level)
    x = euler_maruyama(potential, beta, z, span, steps, generator)
    return Answer(lambda: Law(x.numpy()), count, steps=steps)


def _refusal(problem: Problem) -> str:
    return no_reversible_flow(problem) or too_stiff(problem)


EULER_MARUYAMA = Rival("samples", _refusal, _answer, levels=5)
