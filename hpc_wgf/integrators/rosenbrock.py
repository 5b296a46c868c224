"""A linearly implicit scheme for stiff y' = f(y): Rosenbrock's method of order two, ROS2.

With A an approximation of f'(y) and γ = 1 − 1/√2,

    (I − γhA) k₁ = f(y),   (I − γhA) k₂ = f(y + hk₁) − 2k₁,   y₊ = y + h(3k₁ + k₂)/2.

The order is two for any A (it is a W-method), and the scheme is L-stable where A = f'(y). The
solution of order one, y + hk₁, gives the error estimate h(k₁ + k₂)/2. Source: J. G. Verwer et al.,
SIAM J. Sci. Comput. 20 (1999) 1456.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

GAMMA = 1.0 - 0.5**0.5
"""γ."""

Resolvent = Callable[[float, Tensor], Tensor]
"""(a, v) ↦ (I − aA)⁻¹ v, A an approximation of f'(y) where the step begins."""


def rosenbrock_step(
    rhs: Callable[[Tensor], Tensor], y: Tensor, first: Tensor, step: float, resolvent: Resolvent
) -> tuple[Tensor, Tensor]:
    """y₊ and its error estimate, for f(y) = `first`."""
    a = GAMMA * step
    k1 = resolvent(a, first)
    k2 = resolvent(a, rhs(y + step * k1) - 2.0 * k1)
    return y + step * (1.5 * k1 + 0.5 * k2), 0.5 * step * (k1 + k2)
