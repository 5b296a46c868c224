"""MINRES for (A + σI) x = b, A symmetric: definite, indefinite or singular.

Minimises ‖b − (A + σI) x‖ over the growing Krylov space. For a consistent singular system,
started from 0, the limit is the minimum-norm solution.

Sources: C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12 (1975) 617; the preconditioned
recurrence as in S.-C. T. Choi, C. C. Paige, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 1810.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from ..errors import InputError
from .operator import LinearOperator

Preconditioner = Callable[[Tensor], Tensor]


# ‖A r‖/(‖A‖‖r‖) at which a residual is taken for that of least squares. On singular, inconsistent
# systems the recurrence reaches about 1e-9 in double and 2e-5 in single precision before the
# iterate runs away along the null space; consistent systems stay above, but for eigenvalues
# below these fractions of ‖A‖.
_LEAST_SQUARES_LIMIT = {torch.float64: 1.5e-8, torch.float32: 1e-4}


class Status(StrEnum):
    """How a solve ended, as the sentence the user reads."""

    CONVERGED = "The true residual is within the tolerance."
    ZERO_RIGHT_HAND_SIDE = "The right-hand side is zero, and so is the solution."
    MAX_STEPS = "The maximum number of products was reached. Raise max_steps, or rtol."
    STAGNATED = (
        "The recurrence claims a residual that the recomputed one does not bear out: "
        "the precision of the vectors is exhausted. Raise rtol, or use float64."
    )
    LEAST_SQUARES = (
        "The right-hand side is not in the range of the matrix: "
        "the solution is that of least squares."
    )
    NOT_FINITE = "A product or a dot product is not finite."


@dataclass(frozen=True)
class MinresStats:
    """What a solve did. Residuals are relative: ‖r‖/‖b‖."""

    status: Status
    products: int
    claimed_residual: float
    true_residual: float

    @property
    def converged(self) -> bool:
        return self.status in (Status.CONVERGED, Status.ZERO_RIGHT_HAND_SIDE)


@dataclass
class _Lanczos:
    """The recurrences' state. Scalars are 0-d float64 tensors on the device of b, so that an
    iteration reads nothing back to the host."""

    x: Tensor
    r1: Tensor
    r2: Tensor
    y: Tensor
    w: Tensor
    w2: Tensor
    beta: Tensor
    old_beta: Tensor
    dbar: Tensor
    epsln: Tensor
    phibar: Tensor
    cs: Tensor
    sn: Tensor
    norm_ar: Tensor  # ‖A r‖ of the previous iterate
    norm_a: Tensor  # largest column of the tridiagonal matrix, an estimate of ‖A‖ from below


def minres(
    A: LinearOperator,
    b: Tensor,
    *,
    rtol: float = 1e-5,
    max_steps: int = 1000,
    shift: float = 0.0,
    preconditioner: Preconditioner | None = None,
    check_every: int = 1,
) -> tuple[Tensor, MinresStats]:
    """Solve (A + σI) x = b to ‖b − (A + σI) x‖ ≤ rtol ‖b‖, from x = 0.

    b: (p,). `preconditioner`: v ↦ M⁻¹v, symmetric positive definite. `max_steps`: most
    products with A. `check_every`: iterations between two looks at the residual; the only
    host synchronisations. The residual is recomputed before it is called converged (one
    product); while it is not borne out, the iteration goes on with a sharper target.

    Errors: `InputError` for rtol below ten machine epsilons of b's precision.
    """
    check_rtol(rtol, b.dtype)
    if max_steps < 2 or check_every < 1:
        raise InputError("max_steps must be at least 2, and check_every at least 1")
    precondition = preconditioner or _identity
    norm_b = float(_dot(b, b).sqrt())
    if norm_b == 0.0:
        return torch.zeros_like(b), MinresStats(Status.ZERO_RIGHT_HAND_SIDE, 0, 0.0, 0.0)
    state = _start(b, precondition)
    # In the preconditioned norm the recurrence measures ‖r‖_{M⁻¹}; `target` translates.
    scale = float(state.phibar)
    target, best, steps, products = rtol, float("inf"), 0, 0
    while True:
        _advance(A, state, shift, precondition)
        steps, products = steps + 1, products + 1
        exhausted = products >= max_steps - 1
        if steps % check_every and not exhausted:
            continue
        phibar, beta = float(state.phibar), float(state.beta)
        claimed = phibar / scale
        if not (phibar < float("inf") and beta < float("inf")):
            return state.x, MinresStats(Status.NOT_FINITE, products, claimed, float("nan"))
        stalled = _at_least_squares(state, phibar)
        if claimed > target and not exhausted and not stalled:
            continue
        products += 1
        true = _true_residual(A, state.x, b, shift) / norm_b
        if true <= rtol:
            return state.x, MinresStats(Status.CONVERGED, products, claimed, true)
        if stalled and claimed > target:
            return state.x, MinresStats(Status.LEAST_SQUARES, products, claimed, true)
        if claimed <= target and true > 0.5 * best:
            return state.x, MinresStats(Status.STAGNATED, products, claimed, true)
        if products >= max_steps - 1:
            return state.x, MinresStats(Status.MAX_STEPS, products, claimed, true)
        best, target = true, min(target, 0.5 * claimed * rtol / true)


def check_rtol(rtol: float, dtype: torch.dtype) -> None:
    """Errors: `InputError` for a tolerance below ten machine epsilons of `dtype`."""
    floor = 10 * torch.finfo(dtype).eps
    if not rtol >= floor:
        raise InputError(
            f"rtol = {rtol:g} is below what {dtype} can resolve: give at least {floor:.1e}, "
            "or use float64"
        )


def _identity(v: Tensor) -> Tensor:
    return v


def _start(b: Tensor, precondition: Preconditioner) -> _Lanczos:
    y = precondition(b)
    beta = _dot(b, y).sqrt()
    zero, one = torch.zeros_like(beta), torch.ones_like(beta)
    nil = torch.zeros_like(b)
    return _Lanczos(
        x=nil.clone(), r1=b, r2=b, y=y, w=nil, w2=nil, beta=beta, old_beta=zero,
        dbar=zero, epsln=zero, phibar=beta, cs=-one, sn=zero, norm_ar=zero, norm_a=zero,
    )  # fmt: skip


def _advance(A: LinearOperator, s: _Lanczos, shift: float, precondition: Preconditioner) -> None:
    """One Lanczos step, one plane rotation, one update of x; one product."""
    dtype = s.x.dtype
    v = s.y * _inverse(s.beta).to(dtype)
    y = A.matvec(v)
    if shift:
        y = torch.add(y, v, alpha=shift)
    y = y - s.r1 * (s.beta * _inverse(s.old_beta)).to(dtype)
    alpha = _dot(v, y)
    y = y - s.r2 * (alpha * _inverse(s.beta)).to(dtype)
    s.r1, s.r2 = s.r2, y
    s.y = precondition(y)
    coupled = torch.where(s.old_beta > 0, s.beta, torch.zeros_like(s.beta))
    s.old_beta, s.beta = s.beta, _dot(s.r2, s.y).clamp_min(0.0).sqrt()
    s.norm_a = torch.maximum(s.norm_a, (coupled**2 + alpha**2 + s.beta**2).sqrt())
    # A Krylov space that is exhausted leaves rounding noise: take it for the zero it stands for.
    noise = torch.finfo(dtype).eps * s.norm_a
    s.beta = torch.where(s.beta > noise, s.beta, torch.zeros_like(s.beta))

    old_epsln = s.epsln
    delta = s.cs * s.dbar + s.sn * alpha
    gbar = s.sn * s.dbar - s.cs * alpha
    s.epsln = s.sn * s.beta
    s.dbar = -s.cs * s.beta
    s.norm_ar = s.phibar * torch.hypot(gbar, s.dbar)
    gamma = torch.hypot(gbar, s.beta)
    s.cs, s.sn = gbar * _inverse(gamma), s.beta * _inverse(gamma)
    phi = s.cs * s.phibar
    s.phibar = s.sn * s.phibar

    w = v - s.w2 * old_epsln.to(dtype) - s.w * delta.to(dtype)
    s.w2, s.w = s.w, w * _inverse(gamma).to(dtype)
    s.x = s.x + s.w * phi.to(dtype)


def _at_least_squares(s: _Lanczos, phibar: float) -> bool:
    """‖A r‖ ≪ ‖A‖‖r‖: no direction left in which the residual falls."""
    limit = _LEAST_SQUARES_LIMIT[s.x.dtype]
    return float(s.norm_ar) <= limit * float(s.norm_a) * phibar and phibar > 0.0


def _true_residual(A: LinearOperator, x: Tensor, b: Tensor, shift: float) -> float:
    r = b - A.matvec(x)
    if shift:
        r = torch.sub(r, x, alpha=shift)
    return float(_dot(r, r).sqrt())


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.double(), b.double())


def _inverse(a: Tensor) -> Tensor:
    """1/a, and 0 for 0: an exhausted Krylov space adds nothing."""
    return torch.where(a == 0, a, 1 / a)
