"""Maps of circles and lines: T(z) = z + A z + a + Σ_k c_k φ_k(z), features φ_k with the periods of
the coordinates, A z of those without. T commutes with every period, T(z + L e) = T(z) + L e.

The features are

- cos and sin(2πk z_j/L), k = 1, …, K, for every coordinate on a circle of length L;
- tanh(w·e(z) + b), with fixed random w and b, of e = (cos, sin)(2πz_j/L) on circles and the other
  coordinates in units of their spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from ..constants import places
from ..errors import InputError
from ..periods import Periods
from .feature_map import FeatureMap
from .features import initial_features
from .frame import Frame


class PeriodicMap(FeatureMap):
    """T(z) = z + A z + a + Σ_k c_k φ_k(z) with cosines, sines and tanh features, see the module.

    θ = (c, A, a) as one matrix (d, q + number of coordinates without period + 1), 0 at the start.

    Errors: `InputError` for no periods, no harmonics or a width below 0.
    """

    W: Tensor
    """w of the tanh features, (width, number of coordinates of e)."""
    b: Tensor
    """Their offsets, (width,)."""
    centre: Tensor
    """The point from which coordinates without period are taken, (d,), in units of x."""
    scale: Tensor
    """Their unit, (d,), in units of x."""

    def __init__(
        self, periods: Periods | None, harmonics: int = 8, width: int = 0, *, seed: int = 0
    ) -> None:
        """`harmonics`: K ≥ 1. `width`: number of tanh features, which couple the coordinates.
        `seed`: of their random numbers."""
        if periods is None:
            raise InputError(
                "a periodic map needs the periods of its coordinates: give problem.periods, or "
                "take another map"
            )
        if harmonics < 1 or width < 0:
            raise InputError(
                "a periodic map needs at least one harmonic and a width from 0 on, got "
                f"{harmonics} and {width}"
            )
        circles = len(periods.circles)
        super().__init__(periods.dimension, width + 2 * harmonics * circles, periods.lines)
        self.periods, self.harmonics = periods, harmonics
        W, b = initial_features(width, self.dimension + circles, seed=seed)
        # In double precision, until the map is given that of a run.
        zero = torch.zeros(self.dimension, dtype=torch.float64)
        for name, value in (("W", W), ("b", b), ("centre", zero), ("scale", zero + 1)):
            self.register_buffer(name, value)

    def lay_out(self, frame: Frame) -> None:
        lines = self.periods.lines
        self.centre[lines] = frame.mean[lines].to(self.centre)
        self.scale[lines] = frame.deviations[lines].to(self.scale)

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "periodic",
            "periods": list(self.periods.lengths),
            "harmonics": self.harmonics,
            **{name: buffer.tolist() for name, buffer in self.named_buffers()},
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described, with the same features to the bit."""
        periods = Periods(tuple(description["periods"]))
        map = cls(periods, description["harmonics"], len(description["b"]))
        for name, buffer in map.named_buffers():
            given = torch.tensor(description[name], dtype=torch.float64)
            buffer.copy_(given.reshape(buffer.shape))
        return map

    def values(self, z: Tensor) -> Tensor:
        harmonics = self._harmonics(z).value
        return torch.cat([self._tanh(z), harmonics]) if len(self.b) else harmonics

    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        width, harmonics = len(self.b), self._harmonics(z)
        alone = _gradients(harmonics.slope, harmonics.axis, len(z))
        if not width:
            return alone
        damped = 1 - values[:width].square()
        return torch.cat([damped[:, None] * self._along(z), alone])

    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        width, harmonics = len(self.b), self._harmonics(z)
        axis = places(harmonics.axis, z)
        own = w[width:][torch.arange(len(axis), device=z.device), axis]
        total = torch.zeros_like(z).index_add(0, axis, harmonics.curvature * own)
        if not width:
            return total
        a, w, along = values[:width], w[:width], self._along(z)
        damped, e = 1 - a.square(), self._embedded(z)
        across = -2 * a * damped * (along * w).sum(1)
        bends = _gradients(e.curvature, e.axis, len(z))
        total = total + (across[:, None] * along).sum(0)
        return total + torch.einsum("hn,he,edn,hdn->dn", damped, self.W.to(z), bends, w)

    def _tanh(self, z: Tensor) -> Tensor:
        """(width, n)."""
        inner = self.W.to(z) @ self._embedded(z).value
        return (inner + self.b.to(z)[:, None]).tanh()

    def _along(self, z: Tensor) -> Tensor:
        """∇(w·e), (width, d, n)."""
        e = self._embedded(z)
        return torch.einsum("he,edn->hdn", self.W.to(z), _gradients(e.slope, e.axis, len(z)))

    def _harmonics(self, z: Tensor) -> _Jet:
        """cos and sin(2πk z_j/L), k = 1, …, K, of all circles."""
        return _joined([self._waves(z, j, self.harmonics) for j in self.periods.circles])

    def _embedded(self, z: Tensor) -> _Jet:
        """e(z)."""
        parts = [self._waves(z, j, 1) for j in self.periods.circles]
        axis = self.periods.lines
        lines = places(axis, z)
        scale = self.scale[lines].to(z)[:, None]
        value = (z[lines] - self.centre[lines].to(z)[:, None]) / scale
        slope = torch.ones_like(value) / scale
        return _joined([*parts, _Jet(value, slope, torch.zeros_like(value), axis)])

    def _waves(self, z: Tensor, j: int, count: int) -> _Jet:
        """cos and sin(2πk z_j/L), k = 1, …, `count`."""
        rate = 2 * math.pi / self.periods.lengths[j]
        rates = rate * torch.arange(1, count + 1, dtype=z.dtype, device=z.device)[:, None]
        c, s = torch.cos(rates * z[j]), torch.sin(rates * z[j])
        value, square = torch.cat([c, s]), rates.square()
        slope = torch.cat([-rates * s, rates * c])
        return _Jet(value, slope, -torch.cat([square, square]) * value, [j] * (2 * count))


class _Jet(NamedTuple):
    """Functions of single coordinates with two derivatives, (k, n) each."""

    value: Tensor
    slope: Tensor
    curvature: Tensor
    axis: list[int]
    """The coordinate of each."""


def _joined(parts: list[_Jet]) -> _Jet:
    value, slope, curvature = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("value", "slope", "curvature")
    )
    return _Jet(value, slope, curvature, [j for part in parts for j in part.axis])


def _gradients(derivatives: Tensor, axis: list[int], dimension: int) -> Tensor:
    """Derivatives of functions of single coordinates, (k, n), as gradients, (k, d, n)."""
    k, n = derivatives.shape
    gradients = derivatives.new_zeros(k, dimension, n)
    each = torch.arange(k, device=derivatives.device)
    gradients[each, places(axis, derivatives)] = derivatives
    return gradients
