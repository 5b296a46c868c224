"""Learning rates over the iterations of a step."""

from __future__ import annotations

import math

from ...choices import Decay

_LAST = 1e-2  # of the peak, of a cosine
_FIRST, _RISING = 1 / 25, 0.3  # of one cycle: the first rate, and the iterations in which it rises


def learning_rate(decay: Decay, peak: float, iteration: int, iterations: int) -> float:
    """The learning rate of an `iteration` from 0 to `iterations` − 1, at most `peak`.

    Source of one cycle: L. N. Smith, N. Topin, Super-convergence, arXiv:1708.07120."""
    if decay is Decay.CONSTANT or iterations < 2:
        return peak
    done = iteration / (iterations - 1)
    if decay is Decay.COSINE:
        return peak * (_LAST + (1 - _LAST) * _half_cosine(done))
    if done < _RISING:
        return peak * (1 + (_FIRST - 1) * _half_cosine(done / _RISING))
    return peak * _half_cosine((done - _RISING) / (1 - _RISING))


def _half_cosine(done: float) -> float:
    """From 1 to 0 as `done` goes from 0 to 1."""
    return 0.5 * (1.0 + math.cos(math.pi * done))
