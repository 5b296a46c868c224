"""A linearly implicit scheme for stiff y' = f(t, y): Rosenbrock's method of order two, ROS2.

With A an approximation of ∂f/∂y and γ = 1 − 1/√2,

    (I − γhA) k₁ = f(t, y),   (I − γhA) k₂ = f(t + h, y + hk₁) − 2k₁,   y₊ = y + h(3k₁ + k₂)/2.

The order is two for any A (it is a W-method: for (t, y) with A and 0 for what concerns t), and the
scheme is L-stable where A = f' and f does not depend on t. The
solution of order one, y + hk₁, gives the error estimate h(k₁ + k₂)/2. Source: J. G. Verwer et al.,
SIAM J. Sci. Comput. 20 (1999) 1456.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

GAMMA = 1.0 - 0.5**0.5
"""γ."""

RightHandSide = Callable[[Tensor, float], Tensor]
"""(y, s) ↦ f(t + s, y), t the time at which the step begins."""

Resolvent = Callable[[float, Tensor], Tensor]
"""(a, v) ↦ (I − aA)⁻¹ v, A an approximation of f'(y) where the step begins."""


def rosenbrock_step(
    rhs: RightHandSide, y: Tensor, first: Tensor, step: float, resolvent: Resolvent
) -> tuple[Tensor, Tensor]:
    """y₊ and its error estimate, for f(t, y) = `first`."""
    a = GAMMA * step
    k1 = resolvent(a, first)
    k2 = resolvent(a, rhs(y + step * k1, step) - 2.0 * k1)
    return y + step * (1.5 * k1 + 0.5 * k2), 0.5 * step * (k1 + k2)
