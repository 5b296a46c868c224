"""MINRES from a vector near the solution, as another solve has left it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..accounts import Part, counted
from .minres import minres, residual
from .operator import LinearOperator
from .stats import SolveStats, Status, dot


@counted(Part.RECURRENCE)
def minres_from(
    start: Tensor, A: LinearOperator, b: Tensor, *, rtol: float, max_steps: int,
    shift: float = 0.0, **options: Any,
) -> tuple[Tensor, SolveStats]:  # fmt: skip
    """Solve (A + σI) x = b to ‖b − (A + σI) x‖ ≤ rtol ‖b‖ from x₀ = `start`, (p,), by `minres` for
    x − x₀ with its `options`; from 0 where x₀ is no nearer.

    It takes one product for the residual of x₀, and saves those that would lead so far. The limit
    for a singular system depends on x₀: it has the least norm from 0 alone. `max_steps`: at least
    3. Errors: as for `minres`.
    """
    rest, left = residual(A, start, b, shift)
    whole = float(dot(b, b).sqrt())
    if left <= rtol * whole:
        share = left / whole if whole else 0.0
        return start.clone(), SolveStats(Status.CONVERGED, 1, share, share)
    near = left < whole
    share, rest = (left / whole, rest) if near else (1.0, b)
    x, stats = minres(A, rest, rtol=rtol / share, max_steps=max_steps - 1, shift=shift, **options)
    return x + start if near else x, replace(
        stats,
        products=stats.products + 1,
        claimed_residual=share * stats.claimed_residual,
        true_residual=share * stats.true_residual,
    )
