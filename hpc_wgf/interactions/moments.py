"""Kernels of even powers: exact sums over all particles in O(n d²) operations, from moments.

With x and y relative to the mean of all particles y, and C = E[yyᵀ], q = E[|y|²y],

    E|x−y|² = |x|² + tr C,                                  E ∇½|x−y|² = x,
    E|x−y|⁴ = |x|⁴ + 4 xᵀCx + 2|x|² tr C − 4 x·q + E|y|⁴,   E ∇¼|x−y|⁴ = |x|²x + 2Cx + x tr C − q.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..parallel import tree_sum
from .particles import Field, Particles


def moment_fields(
    powers: Mapping[int, float], particles: Particles, potential: bool
) -> list[Field]:
    """E[∇J(x−y)], and with `potential` also ½ E[J(x−y)], for J(x) = c₂|x|² + c₄|x|⁴.

    `powers` are the coefficients {q: c_q}, and E is the mean over the particles y of all ranks. The
    result is one field for each chunk of this rank. Collective, two all-reduces of d and of about
    d² numbers."""
    n, communicator = particles.total, particles.communicator
    sums = [x.double().sum(0) for x in particles.chunks]
    mean = communicator.sum(tree_sum(sums)) / n
    # Particles are centred in float64: far from the origin, the rounding error of their mean in
    # single precision may exceed their spread.
    centred = [(x.double() - mean).to(x.dtype) for x in particles.chunks]
    d = mean.numel()
    parts = communicator.sum(tree_sum([_moments(x) for x in centred])) / n
    C, q, fourth = parts[: d * d].view(d, d), parts[d * d : -1], parts[-1]
    second, quartic = powers.get(2, 0.0), powers.get(4, 0.0)
    trace = torch.trace(C)
    fields = []
    for x in centred:
        Cx, square = x @ C.to(x), (x * x).sum(1)
        pull = square[:, None] * x + 2 * Cx + trace.to(x) * x - q.to(x)
        value = None
        if potential:
            cross = 4 * (x * Cx).sum(1) - 4 * (x @ q.to(x))
            both = square * (square + 2 * trace.to(x)) + cross + fourth.to(x)
            value = 0.5 * (second * (square + trace.to(x)) + quartic * both)
        fields.append(Field(2 * second * x + 4 * quartic * pull, value))
    return fields


def _moments(x: Tensor) -> Tensor:
    """Σxxᵀ, Σ|x|²x and Σ|x|⁴ over a chunk, joined to one vector, (d² + d + 1,) in float64."""
    x = x.double()
    square = (x * x).sum(1)
    return torch.cat([(x.T @ x).reshape(-1), square @ x, (square @ square)[None]])
