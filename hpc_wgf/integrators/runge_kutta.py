"""One explicit Runge–Kutta step of y' = f(t, y)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .rosenbrock import RightHandSide
from .tableau import Tableau


def runge_kutta_step(
    rhs: RightHandSide, y: Tensor, first: Tensor, step: float, tableau: Tableau
) -> tuple[Tensor, Tensor | None]:
    """y₊ = y + h Σ b_i k_i, and the error estimate h Σ (b_i − b̂_i) k_i, both of the shape of y.

    `rhs`: f. `first`: k_1 = f(t, y), so that a step repeated with another size need not evaluate it
    again. `step`: h. `tableau`: the coefficients; without b̂ the estimate is None. Exceptions of
    `rhs` are not caught.
    """
    slopes = [first]
    for row, c in zip(tableau.a, tableau.c[1:], strict=True):
        slopes.append(rhs(_combine(y, step, row, slopes), c * step))
    error = None
    if tableau.error is not None:
        error = _combine(torch.zeros_like(y), step, tableau.error, slopes)
    return _combine(y, step, tableau.b, slopes), error


def _combine(y: Tensor, step: float, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight != 0.0:
            y = torch.add(y, slope, alpha=step * weight)
    return y
