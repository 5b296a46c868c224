"""The exact flow of an isotropic Gaussian whose particles attract and repel each other by even
powers, to a ring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
from torch import Tensor

from .attraction import attraction, pair_powers
from .densities import Gaussian
from .energies import SumOfEnergies
from .matrices import centred, multiple_of_identity

_TOLERANCE = 1e-12
_NODES = 400


@dataclass(frozen=True)
class RingFlow:
    """x' = −(p|x|² + g)x in coordinates about the centre, g = k + p(1 + 2/d) m₂, m₂ = E|x|².

    That is the force of J(x) = p|x|⁴/4 + ½κ|x|² and of a parabola ½c|x|² about the centre, k = κ +
    c, on a density that is the same in all directions, which it stays. With w = 1/|x|²,
    w' = 2p + 2gw, so that

        T(z) = z/(A + B|z|²)^½,   A' = 2gA,   B' = 2gB + 2p,   A(0) = 1,   B(0) = 0,
        m₂ = E[|z|²/(A + B|z|²)],

    and |z|²/2σ² has the law Γ(d/2, 1). Two numbers are integrated (Dormand–Prince, relative 1e-12);
    the mean is a sum over log|z|² at equal distances, which for d = 1 … 100 is exact to 1e-12
    [PWGF 5.3]."""

    start: Gaussian
    """The start density, of covariance σ²I."""
    quartic: float
    """p > 0."""
    stiffness: float
    """k."""

    @classmethod
    def known(cls, energy: SumOfEnergies, start: object) -> Self | None:
        """The flow, where the energy has no other parts and draws together far away."""
        if not isinstance(start, Gaussian):
            return None
        variance = multiple_of_identity(start.covariance, start.dimension)
        if variance is None:
            return None
        powers = pair_powers(energy.interactions)
        if powers is None:
            return None
        k, p = powers
        others = [part for part in energy.parts if part not in energy.interactions]
        drawn = attraction(others, start.mean, math.sqrt(variance))
        return cls(start, p, k + drawn) if drawn is not None and p > 0 else None

    @cached_property
    def _law(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of |z|² and their weights, which sum to 1."""
        half, variance = 0.5 * self.start.dimension, self._variance
        # e^{half s − e^s} at s = log|z|²/2σ², from 1e-17 of its peak to 1e-17 of it.
        first = math.log(half) - 40.0 / half - 9.0 / math.sqrt(half)
        logs = np.linspace(first, math.log(half + 40.0 + 9.0 * math.sqrt(2 * half)), _NODES)
        weights = np.exp(half * logs - np.exp(logs) - scipy.special.gammaln(half))
        return 2 * variance * np.exp(logs), weights / weights.sum()

    @property
    def _variance(self) -> float:
        variance = multiple_of_identity(self.start.covariance, self.start.dimension)
        assert variance is not None  # as `known` has seen
        return variance

    def _slope(self, _: float, y: np.ndarray) -> np.ndarray:
        """(log A, B)'."""
        squares, weights = self._law
        A, B = math.exp(y[0]), y[1]
        second = float(np.sum(weights * squares / (A + B * squares)))
        g = self.stiffness + self.quartic * (1 + 2 / self.start.dimension) * second
        return np.array([2 * g, 2 * g * B + 2 * self.quartic])

    def factors(self, t: float) -> tuple[float, float]:
        """A and B at time t after the start."""
        if t == 0:
            return 1.0, 0.0
        path = scipy.integrate.solve_ivp(
            self._slope, (0.0, t), (0.0, 0.0), method="DOP853", rtol=_TOLERANCE, atol=_TOLERANCE
        )
        if not path.success:  # Numbers beyond those of float64.
            return math.nan, math.nan
        return math.exp(path.y[0, -1]), float(path.y[1, -1])

    def __call__(self, t: float, z: Tensor) -> Tensor:
        A, B = self.factors(t)
        y = centred(z.double().cpu(), self.start.mean)
        moved: Tensor = self.start.mean + y / (A + B * (y * y).sum(1, keepdim=True)).sqrt()
        return moved
