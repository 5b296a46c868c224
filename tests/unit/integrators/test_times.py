"""Stages at their own times: the order of every scheme on an equation that depends on time."""

from __future__ import annotations

import math

import pytest
import torch

from hpc_wgf.integrators import SCHEMES


def solved(name: str, steps: int) -> float:
    """y(1) for y' = 3(cos 4t − y) + y sin t, from y(0) = 0.3."""
    scheme, y, h, memory = SCHEMES[name], torch.tensor([0.3], dtype=torch.float64), 1 / steps, None
    for k in range(steps):

        def rhs(y: torch.Tensor, after: float, begun: float = k * h) -> torch.Tensor:
            t = begun + after
            return 3 * (math.cos(4 * t) - y) + y * math.sin(t)

        y, _, memory = scheme.advance(
            rhs, y, rhs(y, 0.0), h, norm=lambda v: float(v.norm()), estimate=True, memory=memory,
            resolvent=lambda a, v: v / (1 + 3 * a),
        )  # fmt: skip
    return float(y)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_the_order_holds_where_the_equation_depends_on_time(name):
    """Against the finest solution of order four; with stages at the time where the step begins the
    order would be one."""
    exact = solved("rk4", 640)
    errors = [abs(solved(name, steps) - exact) for steps in (80, 160)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(SCHEMES[name].order, abs=0.15)
