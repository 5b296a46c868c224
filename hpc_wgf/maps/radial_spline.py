"""Cubic splines in the distance r from a centre, twice continuously differentiable at both ends.

g = Σ_j v_j B_j(r) on the knots 0, h, …, (q + 1)h = R with the control points v_{−1} = v_1, v_0, …,
v_{q−1}, 0, 0, 0: even about r = 0, and 0 from R on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .cubic import Place, coefficients, spline_weights


class Profile(NamedTuple):
    """A radial spline at n distances r, (n,) each."""

    value: Tensor
    """g."""
    slope_over_r: Tensor
    """g'/r, g''(0) at r = 0."""
    curvature: Tensor
    """g''."""


def profile(v: Tensor, width: Tensor, r: Tensor) -> Profile:
    """g = Σ_j v_j B_j at r, (n,), on knots at the distance `width`, (1,)."""
    place = _place(width, r[:, None], len(v))
    control = torch.cat([v[1:2], v, v.new_zeros(3)])[:, None]
    a, b, c, e = coefficients(control, place)
    t, within = place.t, place.beyond == 0
    # In the first interval, where r = ht and b = 0, the division by r is that of polynomials.
    over_t = torch.where(
        place.first == 0,
        2 * c + 3 * t * e,
        (b + t * (2 * c + 3 * t * e)) * width / r[:, None].clamp(min=width),
    )
    value = a + t * (b + t * (c + t * e))
    parts = value, over_t / width.square(), (2 * c + 6 * t * e) / width.square()
    return Profile(*((part * within)[:, 0] for part in parts))


def _place(width: Tensor, r: Tensor, knots: int) -> Place:
    """Where r, (n, 1), lies among the knots 0, h, …, R."""
    return Place.of(r, torch.zeros_like(width), width, knots + 2)


def basis(width: Tensor, r: Tensor, knots: int) -> Tensor:
    """B_j(r) of every control point v_j, (knots, n), for r (n,)."""
    first, t, beyond = (part[:, 0] for part in _place(width, r[:, None], knots))
    control = t.new_zeros(knots + 4, len(r))
    places = first + torch.arange(4, device=r.device)[:, None]
    control.scatter_(0, places, spline_weights(t) * (beyond == 0))
    own = control[1 : knots + 1]
    own[1].add_(control[0])  # v_{−1} = v_1
    return own
