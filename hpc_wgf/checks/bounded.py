"""Whether the potential has a lower bound, far away from where the samples start."""

from __future__ import annotations

import torch
from torch import Tensor

from ..parallel import samples_to_check
from ..problems import PotentialEnergy, Problem

_RAYS = 64
_RADII = 4.0 ** torch.arange(21, dtype=torch.float64)  # up to 1e12
_OCTAVES = 8  # the last of the radii, over which V has to fall on and on
_STEADY = 0.9  # a fall over that before it: a logarithm falls by the same at every octave
_FEW, _NEARLY_ALL = 0.1, 0.9  # of the rays


def start_warnings(problem: Problem, like: Tensor) -> list[str]:
    """What is to be known before a run, a sentence or two each; the same on every rank. Potentials
    are evaluated in the precision and on the device of `like`."""
    share = falling_share(problem, like)
    if share < _FEW:
        return []
    sign = (
        "If the potential is to be −log π of a density π, its sign is wrong: give V = −log π"
        if share >= _NEARLY_ALL
        else "A term of V may have the wrong sign"
    )
    return [
        f"the potential falls without bound along {share:.0%} of the rays from the mean of the "
        "start density through its samples: the energy has no lower bound, and the flow no "
        f"stationary density. {sign} (factor = -1 in a run file), unless this is meant"
    ]


@torch.no_grad()
def falling_share(problem: Problem, like: Tensor) -> float:
    """The share of the rays m + r (x − m), m the mean of the start density and x its samples, along
    which V falls on and on up to r = 4²⁰, at least like −log r. 0 without a potential, or where V
    cannot be evaluated so far out."""
    potentials = [
        part.potential for part in problem.energy.parts if isinstance(part, PotentialEnergy)
    ]
    if not potentials:
        return 0.0
    x = samples_to_check(problem.start.sample, _RAYS)
    mean, heights = x.mean(0), []
    try:
        for r in _RADII:
            far = (mean + r * (x - mean)).to(like)
            heights.append(torch.stack([each(far).double() for each in potentials]).sum(0).cpu())
    except Exception:
        return 0.0
    return sum(_falls(ray) for ray in torch.stack(heights).T) / _RAYS


def _falls(heights: Tensor) -> bool:
    """Whether V falls over the last of the radii, (k,), up to where it overflows downwards."""
    beyond = (~heights.isfinite()).nonzero()
    if len(beyond):
        first = int(beyond[0])
        if float(heights[first]) != -torch.inf:
            return False
        heights = heights[:first]
    falls = heights[:-1] - heights[1:]
    last = falls[-_OCTAVES:]
    return len(last) == _OCTAVES and bool(
        (last > 0).all() and (last[1:] >= _STEADY * last[:-1]).all()
    )
