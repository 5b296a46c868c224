"""Potentials of lattices, traps and boxes, coordinate by coordinate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..constants import beside, like
from ..errors import InputError
from .descriptions import written
from .matrices import VectorLike, vector
from .potentials import Potential


class Cosine(Potential):
    """V(x) = Σ_j a_j cos(2π(x_j − c_j)/ℓ_j) + ½ k_j (x_j − c_j)²: lattices, rings, traps."""

    def __init__(
        self, dimension: int, amplitude: VectorLike = 1.0, wavelength: VectorLike = 1.0,
        centre: VectorLike = 0.0, stiffness: VectorLike = 0.0,
    ):  # fmt: skip
        """`amplitude` a, `wavelength` ℓ > 0, `centre` c and `stiffness` k: each a number for all
        coordinates, or (d,).

        Errors: `InputError` for other values."""
        self.dimension = dimension
        self.amplitude, self.wavelength, self.centre, self.stiffness = (
            vector(value, dimension, f"the {name} of the cosine potential")
            for name, value in (
                ("amplitude", amplitude), ("wavelength", wavelength),
                ("centre", centre), ("stiffness", stiffness),
            )
        )  # fmt: skip
        if not bool((self.wavelength > 0).all()):
            raise InputError(
                f"the wavelength of a cosine must be positive, got {self.wavelength.tolist()}"
            )

    def __repr__(self) -> str:
        parts = (self.amplitude, self.wavelength, self.centre, self.stiffness)
        return "Cosine({}, wavelength={}, centre={}, stiffness={})".format(*map(written, parts))

    def _terms(self, x: Tensor, own: int | slice) -> Tensor:
        a, length, c, k = (
            like(part, x)[own]
            for part in (self.amplitude, self.wavelength, self.centre, self.stiffness)
        )
        arm = x - c
        return a * torch.cos(2 * math.pi / length * arm) + 0.5 * k * arm * arm

    def __call__(self, x: Tensor) -> Tensor:
        return self._terms(x, slice(None)).sum(1)

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor]:
        return lambda x: self._terms(x, j)

    def convexity(self) -> float:
        bends = self.stiffness - self.amplitude.abs() * (2 * math.pi / self.wavelength).square()
        return float(bends.min())


class Walls(Potential):
    """V(x) = ½ Σ_j k_j dist(x_j, [low_j, high_j])²: a box with soft walls.

    Where diffusion β meets a wall, e^{−V/β} falls off over the depth (β/k)^½; as k → ∞ the walls
    reflect."""

    def __init__(
        self, dimension: int, low: VectorLike, high: VectorLike, stiffness: VectorLike
    ) -> None:
        """`low`, `high`: the walls. `stiffness`: k, 0 for coordinates without walls. Each is a
        number for all coordinates, or (d,).

        Errors: `InputError` unless low < high and k ≥ 0."""
        self.dimension = dimension
        self.low, self.high, self.stiffness = (
            vector(value, dimension, f"the {name} of the walls")
            for name, value in (("low", low), ("high", high), ("stiffness", stiffness))
        )
        if not bool((self.low < self.high).all()):
            raise InputError(
                f"walls need low < high, got {self.low.tolist()} and {self.high.tolist()}"
            )
        if not bool((self.stiffness >= 0).all()) or not bool(self.stiffness.any()):
            raise InputError(
                "the stiffness of walls must be positive, or 0 for coordinates without, got "
                f"{self.stiffness.tolist()}"
            )

    def __repr__(self) -> str:
        parts = (self.low, self.high, self.stiffness)
        return "Walls({}, {}, stiffness={})".format(*map(written, parts))

    def beyond(self, x: Tensor) -> Tensor:
        """Whether x lies beyond a wall, (n, d) → (n, d)."""
        outside = (x < like(self.low, x)) | (x > like(self.high, x))
        return outside & (beside(self.stiffness, x) > 0)

    def _terms(self, x: Tensor, own: int | slice) -> Tensor:
        low, high, k = (like(part, x)[own] for part in (self.low, self.high, self.stiffness))
        return 0.5 * k * (torch.relu(low - x).square() + torch.relu(x - high).square())

    def __call__(self, x: Tensor) -> Tensor:
        return self._terms(x, slice(None)).sum(1)

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor]:
        return lambda x: self._terms(x, j)

    def convexity(self) -> float:
        return 0.0
