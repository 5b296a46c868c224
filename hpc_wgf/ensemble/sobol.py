"""Scrambled Sobol points: low-discrepancy points of the unit cube, numbered.

The points of a step are those of one scrambling (J. Matoušek, J. Complexity 14 (1998) 527), chosen
by the numbers that choose a random stream elsewhere. A point depends on its own number alone, so
that every rank makes those of its own samples.
"""

from __future__ import annotations

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

_BITS = 32

MOST_UNIFORMS = 21_201
"""The most coordinates of a Sobol point."""


def sobol_points(span: slice, coordinates: int, *, key: tuple[int, ...]) -> Tensor:
    """The points with the numbers in `span` of the scrambling chosen by `key`, (m, coordinates) in
    float64, in the open unit cube."""
    random = np.random.default_rng(np.random.SeedSequence(key))
    points = scipy.stats.qmc.Sobol(coordinates, scramble=True, bits=_BITS, rng=random)
    # Numbers of points that are no power of two, which are for the user to choose, are warned of
    # where they begin with the first one; filters of warnings are not for threads.
    first = points.random(1) if span.start == 0 else points.fast_forward(span.start).random(1)
    u = np.concatenate([first, points.random(span.stop - span.start - 1)])
    # They are multiples of 2⁻³² from 0 on; quantile functions want neither 0 nor 1.
    return torch.from_numpy(u + 2.0 ** -(_BITS + 1))
