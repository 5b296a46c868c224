"""Quantiles of beta distributions in elementary operations, which every device has."""

from __future__ import annotations

import math

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ..constants import beside

_PANELS, _DEGREE = 512, 9
_LEAST = 2.0**-54  # of a level and its distance from 1


class BetaQuantile:
    """x with I_x(a, b) = u, I the regularised incomplete beta function.

    Below the median x = t g(t) with t = (a B(a, b) u)^{1/a}, and above it 1 − x likewise, with a
    and b exchanged. g is analytic, and given by polynomials that interpolate it at Chebyshev's
    points of 512 intervals of t."""

    def __init__(self, a: float, b: float) -> None:
        self._tails = _Tail(a, b), _Tail(b, a)
        coefficients = np.concatenate([tail.polynomials() for tail in self._tails], 1)
        self._coefficients = torch.from_numpy(coefficients)

    def __call__(self, u: Tensor) -> Tensor:
        """Of levels u between 2⁻⁵⁴ and 1 − 2⁻⁵⁴, (n,) in float64. The error of x below the
        median, and of 1 − x above it, is below 1e-14 of itself, or 1e-14/a where a < 1."""
        lower, (below, above) = u < 0.5, self._tails
        t = torch.where(lower, below.variable(u), above.variable(1 - u))
        place = torch.where(lower, below.place(t), above.place(t))
        panel = place.long().clamp(0, _PANELS - 1)
        s = 2 * (place - panel) - 1
        panel = torch.where(lower, panel, panel + _PANELS)
        first, *others = beside(self._coefficients, u)
        g = first[panel]
        for each in others:
            g = g * s + each[panel]
        return torch.where(lower, t * g, 1 - t * g)


class _Tail:
    """The quantile function of levels up to ½."""

    def __init__(self, a: float, b: float) -> None:
        self._a, self._b = a, b
        self._log = (math.log(a) + float(scipy.special.betaln(a, b))) / a
        self._low, high = self._variable_of(_LEAST), self._variable_of(0.5)
        self._width = (high - self._low) / _PANELS

    def _variable_of(self, u: float) -> float:
        return math.exp(math.log(u) / self._a + self._log)

    def variable(self, u: Tensor) -> Tensor:
        """t of levels u."""
        return torch.exp(u.log() / self._a + self._log)

    def place(self, t: Tensor) -> Tensor:
        """t in numbers of intervals."""
        return (t - self._low) / self._width

    def polynomials(self) -> np.ndarray:
        """Coefficients of g in −1 ≤ s ≤ 1 of every interval, the highest power first, (degree + 1,
        intervals)."""
        s = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
        t = self._low + self._width * (np.arange(_PANELS) + 0.5 * (s[:, None] + 1))
        levels = np.exp(self._a * (np.log(t) - self._log))
        g = scipy.special.betaincinv(self._a, self._b, levels) / t
        return np.linalg.solve(np.vander(s), g)
