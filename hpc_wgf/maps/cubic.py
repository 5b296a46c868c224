"""Cubic B-splines on uniform knots: the place of a sample among them, and their polynomials."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where samples x lie among the knots, (n, d) each."""

    first: Tensor
    """The interval between knots that holds x, from 0 on."""
    t: Tensor
    """The place in it, from 0 to 1."""
    beyond: Tensor
    """The distance from the nearest knot beyond the ends, in units of their distance; 0 within."""

    @classmethod
    def of(cls, x: Tensor, low: Tensor, width: Tensor, knots: int) -> Place:
        """For the first knot and the distance of the knots, (d,) each."""
        place = (x - low) / width
        inside = place.clamp(0, knots - 1)
        first = inside.detach().floor().long().clamp(0, knots - 2)
        return cls(first, inside - first, place - inside)


def polynomials(control: Tensor) -> Tensor:
    """The coefficients of 1, t, t², t³ between every two of m + 1 knots, (4, m, d), for the control
    points c_{−1}, …, c_{m+1}, (m + 3, d)."""
    intervals = len(control) - 3
    k0, k1, k2, k3 = (control[k : k + intervals] for k in range(4))
    a, b, c2 = (k0 + 4 * k1 + k2) / 6, (k2 - k0) / 2, (k0 - 2 * k1 + k2) / 2
    return torch.stack([a, b, c2, (k3 - k0) / 6 + (k1 - k2) / 2])


def coefficients(control: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Those of 1, t, t², t³ where samples lie, (n, d) each, for control points as of
    `polynomials`."""
    table = polynomials(control).gather(1, place.first.expand(4, -1, -1))
    # One by one: of parts that are unbound together, the gradient is made of zeros of its own
    # where one part is not used.
    return table[0], table[1], table[2], table[3]


def spline_weights(t: Tensor) -> Tensor:
    """The weights of the control points first − 1, …, first + 2 in the value at the places t,
    (4, *t.shape)."""
    s = 1 - t
    return torch.stack([
        s**3, 3 * t**3 - 6 * t * t + 4, 3 * s**3 - 6 * s * s + 4, t**3,
    ]) / 6  # fmt: skip
