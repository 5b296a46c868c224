"""LSMR for min ‖A x − b‖² + σ‖x‖², A of any shape and rank.

Every iterate minimises ‖L⁻¹(Aᵀr − σx)‖, r = b − A x, over the Krylov space of L⁻¹(AᵀA + σI)L⁻ᵀ. For
L = I these are the iterates of MINRES on the normal equations, but with the rounding errors of A
in place of those of AᵀA. Where A has a null space, σ = 0 and L = I, the limit is the solution of
minimum norm.

Source: D. C.-L. Fong, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 2950.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..errors import InputError
from .golub_kahan import DampedLeastSquares, advance, start
from .operator import LeastSquaresOperator, SplitPreconditioner
from .stats import SolveStats, Status, check_rtol


class _Identity:
    def solve_upper(self, v: Tensor) -> Tensor:
        return v

    def solve_lower(self, v: Tensor) -> Tensor:
        return v


@counted(Part.RECURRENCE)
def lsmr(
    A: LeastSquaresOperator,
    b: Tensor,
    *,
    rtol: float = 1e-5,
    max_steps: int = 1000,
    shift: float = 0.0,
    preconditioner: SplitPreconditioner | None = None,
    check_every: int = 1,
) -> tuple[Tensor, SolveStats]:
    """Solve min ‖A x − b‖² + σ‖x‖² to ‖Aᵀ(b − A x) − σx‖ ≤ rtol ‖Aᵀb‖, from x = 0.

    b: rows, as A has them; x: (p,). `shift`: σ ≥ 0. `preconditioner`: L of L Lᵀ ≈ AᵀA + σI; the
    tolerance is on the Euclidean norm all the same. `max_steps`: the largest number of products,
    one with A and one with Aᵀ together counting as one; Aᵀb at the start is not counted.
    `check_every`: iterations between two checks of the residual, which alone make the host wait.

    A solve that has converged by its recurrences is checked by recomputing the residual, at one
    product; where that is above the tolerance, the iteration goes on to a smaller target. Where
    rounding allows no further progress, at about 8 ε ‖Â‖‖r̂‖ (see `golub_kahan`), the solve ends as
    stagnated. `SolveStats` tells how it ended.

    Errors: `InputError` for rtol below ten machine epsilons of b's precision or not below 1, for
    σ < 0, `max_steps` < 2 or `check_every` < 1.
    """
    check_rtol(rtol, b.dtype)
    if max_steps < 2 or check_every < 1:
        raise InputError("max_steps must be at least 2, and check_every at least 1")
    if not shift >= 0.0:
        raise InputError(f"shift must not be negative, got {shift}: it is the square of a damping")
    system = DampedLeastSquares(A, shift, preconditioner or _Identity())
    state, norm_atb = start(system, b)
    if norm_atb == 0.0:
        return state.x, SolveStats(Status.ZERO_RIGHT_HAND_SIDE, 0, 0.0, 0.0)
    # The recurrences know ‖L⁻¹(Aᵀr − σx)‖ only. `target` is the value of it, relative to that at
    # the start, at which the Euclidean norm is expected to reach the tolerance.
    scale = float(state.zeta_bar)
    target, best, steps, products = rtol, float("inf"), 0, 0
    while True:
        advance(system, state)
        steps, products = steps + 1, products + 1
        exhausted = products >= max_steps - 1
        if steps % check_every and not exhausted:
            continue
        gradient, floor = torch.stack([state.zeta_bar.abs(), state.floor()]).tolist()
        claimed, at_floor = gradient / scale, gradient <= floor
        if target < claimed < float("inf") and not (at_floor or exhausted):
            continue
        products += 1
        true, found = system.residuals(state.x, b)
        true, found = true / norm_atb, found / scale
        # Each target is at most half the last. A residual that has not followed is one of rounding.
        stuck = at_floor or (claimed <= target and found > 0.75 * best)
        status = _verdict(true, rtol, stuck, products >= max_steps - 1)
        if status is not None:
            return state.x, SolveStats(status, products, claimed, true)
        best, target = found, min(target, 0.5 * claimed * rtol / true)


def _verdict(true: float, rtol: float, stuck: bool, exhausted: bool) -> Status | None:
    """How the solve ends with the relative recomputed residual `true`; None where it goes on."""
    if not true < float("inf"):
        return Status.NOT_FINITE
    if true <= rtol:
        return Status.CONVERGED
    if stuck:
        return Status.STAGNATED
    return Status.MAX_STEPS if exhausted else None
