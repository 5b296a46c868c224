"""MINRES for (A + σI) x = b, A symmetric: definite, indefinite or singular.

Every iterate minimises ‖b − (A + σI) x‖ over the Krylov space; with a preconditioner M the norm is
that of M⁻¹. For a consistent singular system without one the limit is the minimum-norm solution.

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


# At this ‖A r‖/(‖A‖‖r‖) a residual is taken to be that of least squares. On singular, inconsistent
# systems the recurrence reaches about 1e-9 in double and 2e-5 in single precision before the
# iterate drifts along the null space. Consistent systems stay above these limits, unless they have
# eigenvalues below these fractions of ‖A‖.
_LEAST_SQUARES_LIMIT = {torch.float64: 1.5e-8, torch.float32: 1e-4}


@dataclass
class _Scalars:
    """0-d float64 tensors on the device of b, so that an iteration reads nothing back."""

    beta: Tensor
    """β of the last Lanczos step."""
    old_beta: Tensor
    """β of the step before."""
    dbar: Tensor
    """δ̄ of the last rotation."""
    epsln: Tensor
    """ε of the last rotation."""
    phibar: Tensor
    """φ̄, the norm of the residual in the norm of the iteration."""
    cs: Tensor
    """The cosine of the last rotation."""
    sn: Tensor
    """The sine of the last rotation."""
    norm_ar: Tensor
    """‖A r‖ of the previous iterate, in the norm of the iteration."""
    norm_a: Tensor
    """The largest column of the tridiagonal matrix, an estimate of ‖A‖ from below."""
    residual: Tensor
    """‖r‖ in the Euclidean norm."""


@dataclass
class _Lanczos:
    """The state of the recurrences, vectors (p,); updated in place, so that no address changes."""

    x: Tensor
    """The iterate."""
    r: Tensor
    """The residual b − (A + σI) x by its recurrence."""
    r1: Tensor
    """The Lanczos vector before the last, times its β."""
    r2: Tensor
    """The last Lanczos vector, times its β."""
    y: Tensor
    """M⁻¹ r2."""
    v: Tensor
    """M⁻¹ times the last Lanczos vector; also scratch space."""
    w: Tensor
    """The last direction in which x moved."""
    w2: Tensor
    """The direction before it; also scratch space."""
    scalars: _Scalars
    """The scalars of the recurrences."""


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

    b, x: (p,). `preconditioner`: v ↦ M⁻¹v, symmetric positive definite; the tolerance is on the
    Euclidean norm all the same. `max_steps`: the largest number of products with A, those of
    checks included. `check_every`: iterations between two checks of the residual, which alone make
    the host wait. `early_stopping`: updated at every check; it may end the iteration, and x is then
    the best iterate that it has been given. `graph`: on a GPU, replay iterations as a CUDA graph.

    A solve that has converged by its recurrences is checked by recomputing the residual, at one
    product; where that is above the tolerance, the iteration goes on to a smaller target.
    `SolveStats` tells how the solve ended.

    Errors: `InputError` for rtol below ten machine epsilons of b's precision or not below 1, for
    `max_steps` < 2 or `check_every` < 1.
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
    """One iteration: a Lanczos step, a plane rotation, and the update of x; one product."""
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
    # w ← (v − ε w2 − δ w)/γ is built in w2, whose direction is not needed any more.
    s.w2.mul_(old_epsln.neg().to(dtype)).add_(s.v).addcmul_(s.w, delta.to(dtype), value=-1)
    s.w2.mul_(_inverse(gamma).to(dtype))
    s.x.addcmul_(s.w2, phi.to(dtype))
    s.v.copy_(s.w)
    s.w.copy_(s.w2)
    s.w2.copy_(s.v)
    # r ← s² r − c φ̄ r2/β is the Euclidean residual in a preconditioned iteration, too.
    s.r.mul_((c.sn * c.sn).to(dtype))
    s.r.addcmul_(s.r2, (c.phibar * c.cs * _inverse(c.beta)).to(dtype), value=-1)
    c.residual.copy_(dot(s.r, s.r).sqrt())


def _rotate(
    c: _Scalars, alpha: Tensor, beta: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The next plane rotation: δ, ε of the step before, γ and φ."""
    coupled = torch.where(c.old_beta > 0, c.beta, torch.zeros_like(c.beta))
    c.old_beta.copy_(c.beta)
    c.norm_a.copy_(torch.maximum(c.norm_a, (coupled**2 + alpha**2 + beta**2).sqrt()))
    # In an exhausted Krylov space β is 0 but for rounding errors, and is then set to 0.
    noise = torch.finfo(dtype).eps * c.norm_a
    # A β that is not a number must not be: `beta <= noise` is false for it.
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
    """What a check reads of the recurrences."""

    residual: float
    """‖r‖ in the Euclidean norm."""
    beta: float
    """β of the last Lanczos step; not finite where a product is not."""
    at_least_squares: bool
    """Whether ‖A r‖ ≪ ‖A‖‖r‖, so that the residual falls in no direction any more."""


def _look(s: _Lanczos) -> _Seen:
    """The state of the iteration on the host, by one synchronisation."""
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
    """1/a, and 0 for a = 0, so that an exhausted Krylov space adds nothing."""
    return torch.where(a == 0, a, 1 / a)
