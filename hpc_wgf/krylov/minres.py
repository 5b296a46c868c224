"""MINRES for (A + σI) x = b, A symmetric: definite, indefinite or singular.

Minimises ‖b − (A + σI) x‖ over the growing Krylov space (‖·‖ of M⁻¹ with a preconditioner M). For
a consistent singular system, started from 0, the limit is the minimum-norm solution.

Sources: C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12 (1975) 617; the preconditioned
recurrence as in S.-C. T. Choi, C. C. Paige, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 1810.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from .graph import replayed
from .operator import LinearOperator
from .stats import EarlyStopping, SolveStats, Status, check_rtol, dot

Preconditioner = Callable[[Tensor], Tensor]


# ‖A r‖/(‖A‖‖r‖) at which a residual is taken for that of least squares. On singular, inconsistent
# systems the recurrence reaches about 1e-9 in double and 2e-5 in single precision before the
# iterate runs away along the null space; consistent systems stay above, but for eigenvalues
# below these fractions of ‖A‖.
_LEAST_SQUARES_LIMIT = {torch.float64: 1.5e-8, torch.float32: 1e-4}


@dataclass
class _Scalars:
    """0-d float64 tensors on the device of b, so that an iteration reads nothing back."""

    beta: Tensor
    old_beta: Tensor
    dbar: Tensor
    epsln: Tensor
    phibar: Tensor
    cs: Tensor
    sn: Tensor
    norm_ar: Tensor  # ‖A r‖ of the previous iterate, in the norm of the iteration
    norm_a: Tensor  # largest column of the tridiagonal matrix, an estimate of ‖A‖ from below
    residual: Tensor  # ‖r‖, Euclidean


@dataclass
class _Lanczos:
    """The recurrences' state, written in place: an iteration finds all of it where it was.

    r1, r2: the last two Lanczos vectors times their β; y: M⁻¹ r2; w, w2: the last two directions;
    r: the residual b − A x as the recurrence has it."""

    x: Tensor
    r: Tensor
    r1: Tensor
    r2: Tensor
    y: Tensor
    v: Tensor
    w: Tensor
    w2: Tensor
    scalars: _Scalars


def minres(
    A: LinearOperator,
    b: Tensor,
    *,
    rtol: float = 1e-5,
    max_steps: int = 1000,
    shift: float = 0.0,
    preconditioner: Preconditioner | None = None,
    check_every: int = 1,
    early_stopping: EarlyStopping | None = None,
    graph: bool = False,
) -> tuple[Tensor, SolveStats]:
    """Solve (A + σI) x = b to ‖b − (A + σI) x‖ ≤ rtol ‖b‖, from x = 0.

    b: (p,). `preconditioner`: v ↦ M⁻¹v, symmetric positive definite; the tolerance is on the
    Euclidean norm all the same. `max_steps`: most products with A. `check_every`: iterations
    between two looks at the residual; the only host synchronisations. The residual is recomputed
    before it is called converged (one product); while it is not borne out, the iteration goes on
    with a sharper target. `early_stopping`: seen at every look, it may end the iteration, and the
    solution is then the best that it has seen. `graph`: replay the iteration as a CUDA graph.

    Errors: `InputError` for rtol below ten machine epsilons of b's precision.
    """
    check_rtol(rtol, b.dtype)
    if max_steps < 2 or check_every < 1:
        raise InputError("max_steps must be at least 2, and check_every at least 1")
    precondition = preconditioner or _identity
    norm_b = float(dot(b, b).sqrt())
    if norm_b == 0.0:
        return torch.zeros_like(b), SolveStats(Status.ZERO_RIGHT_HAND_SIDE, 0, 0.0, 0.0)
    state = _start(b, precondition)
    advance = replayed(lambda: _advance(A, state, shift, precondition), b.device, wanted=graph)
    target, best, steps, products = rtol, float("inf"), 0, 0

    def end(status: Status, claimed: float, true: float) -> tuple[Tensor, SolveStats]:
        return state.x, SolveStats(status, products, claimed, true)

    while True:
        advance()
        steps, products = steps + 1, products + 1
        exhausted = products >= max_steps - 1
        if steps % check_every and not exhausted:
            continue
        seen = _look(state)
        claimed = seen.residual / norm_b
        if not (claimed < float("inf") and seen.beta < float("inf")):
            return end(Status.NOT_FINITE, claimed, float("nan"))
        held = None if early_stopping is None else early_stopping.update(state.x)
        if held is not None:
            products += 1
            true = _true_residual(A, held, b, shift) / norm_b
            return held, SolveStats(Status.VALIDATION, products, claimed, true)
        stalled = seen.at_least_squares
        if claimed > target and not exhausted and not stalled:
            continue
        products += 1
        true = _true_residual(A, state.x, b, shift) / norm_b
        if true <= rtol:
            return end(Status.CONVERGED, claimed, true)
        if stalled and claimed > target:
            return end(Status.LEAST_SQUARES, claimed, true)
        if claimed <= target and true > 0.5 * best:
            return end(Status.STAGNATED, claimed, true)
        if products >= max_steps - 1:
            return end(Status.MAX_STEPS, claimed, true)
        best, target = true, min(target, 0.5 * claimed * rtol / true)


def _identity(v: Tensor) -> Tensor:
    return v


def _start(b: Tensor, precondition: Preconditioner) -> _Lanczos:
    y = precondition(b).clone()
    beta = dot(b, y).sqrt()
    one = torch.ones_like(beta)
    zeros = {name: torch.zeros_like(beta) for name in _Scalars.__annotations__}
    scalars = _Scalars(**{**zeros, "beta": beta, "phibar": beta.clone(), "cs": -one})
    blank = {name: torch.zeros_like(b) for name in ("x", "v", "w", "w2")}
    return _Lanczos(r=b.clone(), r1=b.clone(), r2=b.clone(), y=y, scalars=scalars, **blank)


def _advance(A: LinearOperator, s: _Lanczos, shift: float, precondition: Preconditioner) -> None:
    """One Lanczos step, one plane rotation, one update of x; one product."""
    c, dtype = s.scalars, s.x.dtype
    torch.mul(s.y, _inverse(c.beta).to(dtype), out=s.v)
    y = A.matvec(s.v)
    if shift:
        y.add_(s.v, alpha=shift)
    y.addcmul_(s.r1, (c.beta * _inverse(c.old_beta)).to(dtype), value=-1)
    alpha = dot(s.v, y)
    y.addcmul_(s.r2, (alpha * _inverse(c.beta)).to(dtype), value=-1)
    s.r1.copy_(s.r2)
    s.r2.copy_(y)
    s.y.copy_(precondition(s.r2))
    delta, old_epsln, gamma, phi = _rotate(c, alpha, dot(s.r2, s.y).clamp_min(0.0).sqrt(), dtype)
    # w ← (v − ε w2 − δ w)/γ, the older direction making room for it
    s.w2.mul_(old_epsln.neg().to(dtype)).add_(s.v).addcmul_(s.w, delta.to(dtype), value=-1)
    s.w2.mul_(_inverse(gamma).to(dtype))
    s.x.addcmul_(s.w2, phi.to(dtype))
    s.v.copy_(s.w)
    s.w.copy_(s.w2)
    s.w2.copy_(s.v)
    # r ← s² r − c φ̄ v₊ with v₊ = r2/β: the Euclidean residual of the preconditioned iteration too
    s.r.mul_((c.sn * c.sn).to(dtype))
    s.r.addcmul_(s.r2, (c.phibar * c.cs * _inverse(c.beta)).to(dtype), value=-1)
    c.residual.copy_(dot(s.r, s.r).sqrt())


def _rotate(
    c: _Scalars, alpha: Tensor, beta: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The next plane rotation: (δ, ε of the step before, γ, φ)."""
    coupled = torch.where(c.old_beta > 0, c.beta, torch.zeros_like(c.beta))
    c.old_beta.copy_(c.beta)
    c.norm_a.copy_(torch.maximum(c.norm_a, (coupled**2 + alpha**2 + beta**2).sqrt()))
    # A Krylov space that is exhausted leaves rounding noise: take it for the zero it stands for.
    noise = torch.finfo(dtype).eps * c.norm_a
    # `beta > noise` is false for not-a-number, which must not be taken for an end.
    c.beta.copy_(torch.where(beta <= noise, torch.zeros_like(beta), beta))
    old_epsln = c.epsln.clone()
    delta = c.cs * c.dbar + c.sn * alpha
    gbar = c.sn * c.dbar - c.cs * alpha
    c.epsln.copy_(c.sn * c.beta)
    c.dbar.copy_(-c.cs * c.beta)
    c.norm_ar.copy_(c.phibar * torch.hypot(gbar, c.dbar))
    gamma = torch.hypot(gbar, c.beta)
    c.cs.copy_(gbar * _inverse(gamma))
    c.sn.copy_(c.beta * _inverse(gamma))
    phi = c.cs * c.phibar
    c.phibar.mul_(c.sn)
    return delta, old_epsln, gamma, phi


class _Seen(NamedTuple):
    """What a look at the recurrences shows."""

    residual: float
    beta: float
    at_least_squares: bool  # ‖A r‖ ≪ ‖A‖‖r‖: no direction left in which the residual falls


def _look(s: _Lanczos) -> _Seen:
    """All that is read of an iteration, in one synchronisation with the host."""
    c = s.scalars
    read = torch.stack([c.residual, c.beta, c.norm_ar, c.norm_a, c.phibar]).tolist()
    residual, beta, norm_ar, norm_a, phibar = read
    limit = _LEAST_SQUARES_LIMIT[s.x.dtype]
    return _Seen(residual, beta, norm_ar <= limit * norm_a * phibar and phibar > 0.0)


def _true_residual(A: LinearOperator, x: Tensor, b: Tensor, shift: float) -> float:
    r = b - A.matvec(x)
    if shift:
        r.sub_(x, alpha=shift)
    return float(dot(r, r).sqrt())


def _inverse(a: Tensor) -> Tensor:
    """1/a, and 0 for 0: an exhausted Krylov space adds nothing."""
    return torch.where(a == 0, a, 1 / a)
