"""What a map that is linear in its parameters leaves of the force at the start: where it has gates
for the modes of a target, a part that is not small tells a mode without one."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..maps import PushForward, SoftmaxGates
from ..parallel import affordable, samples_to_check
from ..problems import Problem, is_known

MOST_LEFT_OVER = 0.1
"""Of the force, which gates of a mixture leave at most if they have all of its modes."""
_SAMPLES = 4096
_PER_FEATURE = 2  # samples in each half


def gate_warnings(problem: Problem, map: PushForward) -> list[str]:
    """What is to be known of a map of softmax gates before a run; the same on every rank."""
    if not isinstance(map, SoftmaxGates) or map.target is None:
        return []
    count = affordable(_SAMPLES, problem.dimension)
    share = force_left_over(problem, map, samples_to_check(problem.start.sample, count))
    if share is None or share <= MOST_LEFT_OVER:
        return []
    return [
        f"the softmax map leaves {share:.0%} of the force at the start over, and with a gate for "
        "every mode of a mixture it would leave next to nothing: a mode without a gate loses its "
        "mass, which no energy shows. Give all centres, or take another map where the target is no "
        "mixture of Gaussians of one variance"
    ]


@torch.no_grad()
def force_left_over(problem: Problem, map: PushForward, z: Tensor) -> float | None:
    """(E|Jη + f|²/E|f|²)^½ at the start, J that of a map that is linear in θ, for the η that fits
    the force f on one half of start samples z, (n, d) in float64, and E over the other half. None
    where interactions, a mobility or a drift act or the score is not known, where samples are too
    few, or where there is no force."""
    features = map.linear_features(z[:1].to(next(map.parameters())))
    energy = problem.energy
    without_force = energy.needs_density and not is_known(problem.start)
    if energy.interactions or features is None or without_force or not problem.is_plain:
        return None
    n = len(z) // 2
    if n < _PER_FEATURE * features.value.shape[1]:
        return None
    rows = _rows(map, z)
    force = _by_block(_force(problem, z), len(rows))
    if not bool(rows.isfinite().all() and force.isfinite().all()):
        return None  # It is refused when the start is checked.
    eta = torch.linalg.lstsq(rows[:, :n], force[:, :n], driver="gelsd").solution
    force = force[:, n:]
    left = force - rows[:, n:] @ eta
    share = float((left.square().sum() / force.square().sum()).sqrt())
    return share if share < torch.inf else None


def _rows(map: PushForward, z: Tensor) -> Tensor:
    """The features, (blocks, n, q) in float64."""
    features = map.linear_features(z.to(next(map.parameters())))
    assert features is not None
    return features.value.double().cpu().mT


def _force(problem: Problem, z: Tensor) -> Tensor:
    """f at start samples, (n, d)."""
    start, energy = problem.start, problem.energy
    cloud = Cloud(z, start.log_density(z), start.score(z))
    return sum((part.force(cloud) for part in energy.of_position), energy.density_force(cloud))


def _by_block(force: Tensor, blocks: int) -> Tensor:
    """Vectors (n, d) as (blocks, n, d/blocks)."""
    return force.view(len(force), blocks, -1).transpose(0, 1)
