"""The recurrences of LSMR: Golub–Kahan bidiagonalisation, two plane rotations, the update of x.

Source: D. C.-L. Fong, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 2950, Sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..accounts import Part, part
from .operator import LeastSquaresOperator, SplitPreconditioner
from .stats import dot


@dataclass
class DampedLeastSquares:
    """min ‖Â y − (b; 0)‖ over y = Lᵀx, Â = [A; √σ I] L⁻ᵀ: damped least squares, preconditioned.

    The damping acts on x and not on y, and therefore enters by rows of Â.
    """

    A: LeastSquaresOperator
    """A, of any shape and rank."""
    shift: float
    """σ ≥ 0."""
    preconditioner: SplitPreconditioner
    """L of L Lᵀ ≈ AᵀA + σI."""

    def residuals(self, x: Tensor, b: Tensor) -> tuple[float, float]:
        """‖g‖ and ‖L⁻¹g‖ of g = Aᵀ(b − A x) − σx, evaluated at x, (p,), by one product."""
        r = self.A.matvec(x).neg_().add_(b)
        g = self.A.rmatvec(r).sub_(x, alpha=self.shift)
        return _norm(g).item(), _norm(self.solve_lower(g)).item()

    def solve_lower(self, g: Tensor) -> Tensor:
        """L⁻¹ g, (p,)."""
        with part(Part.PRECONDITIONING):
            return self.preconditioner.solve_lower(g)

    def solve_upper(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, (p,)."""
        with part(Part.PRECONDITIONING):
            return self.preconditioner.solve_upper(v)


@dataclass
class Bidiagonalisation:
    """The state of the recurrences, in the notation of the source.

    Scalars are 0-d float64 tensors on the device of x, so that an iteration reads nothing back to
    the host. r̂ = (b; 0) − Â y is the residual of the preconditioned system.
    """

    x: Tensor
    """The iterate, (p,)."""
    u: Tensor
    """The left Lanczos vector, its rows of A."""
    u_shift: Tensor
    """The left Lanczos vector, its rows of √σ I, (p,)."""
    v: Tensor
    """The right Lanczos vector, (p,)."""
    w: Tensor
    """L⁻ᵀ v, (p,)."""
    h: Tensor
    """L⁻ᵀ times h of the source, (p,), so that the update of x needs no product with L⁻ᵀ."""
    h_bar: Tensor
    """L⁻ᵀ times h̄ of the source, (p,)."""
    alpha: Tensor
    """α, on the diagonal of the bidiagonal matrix."""
    alpha_bar: Tensor
    """ᾱ of the first rotation."""
    rho: Tensor
    """ρ of the first rotation."""
    rho_bar: Tensor
    """ρ̄ of the second rotation."""
    c_bar: Tensor
    """c̄, the cosine of the second rotation."""
    s_bar: Tensor
    """s̄, the sine of the second rotation."""
    zeta_bar: Tensor
    """ζ̄, with |ζ̄| = ‖L⁻¹(Aᵀr − σx)‖."""
    norm_b: Tensor
    """‖b‖."""
    norm_r: Tensor
    """‖r̂‖ of the iterate of LSQR, whose first rotation is the same: at most ‖r̂‖ of this one."""
    norm_a: Tensor
    """The largest column of the bidiagonal matrix, an estimate of ‖Â‖ from below."""

    def floor(self) -> Tensor:
        """8 ε ‖Â‖ (‖r̂‖ + ‖b‖/800), 0-d: what rounding leaves of ‖Âᵀr̂‖, ε the machine epsilon.

        An iteration that goes on below it gains nothing and drifts along the null space. It is
        rule S2 of the source with ATOL = 8 ε, and with rounding errors of r̂ itself, by ‖b‖.
        """
        eps = torch.finfo(self.x.dtype).eps
        return eps * self.norm_a * (8 * self.norm_r + 0.01 * self.norm_b)


def start(problem: DampedLeastSquares, b: Tensor) -> tuple[Bidiagonalisation, float]:
    """The state before the first iteration, at x = 0, and ‖Aᵀb‖; b: rows, as A has them."""
    beta = problem.A.norm(b)
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    u = b * _quotient(one, beta).to(b.dtype)
    g = problem.A.rmatvec(u)
    norm_atb = float(beta * _norm(g))
    v = problem.solve_lower(g)
    alpha = _norm(v)
    v.mul_(_quotient(one, alpha))
    w = problem.solve_upper(v)
    nil = torch.zeros_like(v)
    state = Bidiagonalisation(
        x=nil, u=u, u_shift=nil.clone(), v=v, w=w, h=w.clone(), h_bar=nil.clone(), alpha=alpha,
        alpha_bar=alpha, rho=one, rho_bar=one, c_bar=one, s_bar=zero, zeta_bar=alpha * beta,
        norm_b=beta, norm_r=beta, norm_a=zero,
    )  # fmt: skip
    return state, norm_atb


def advance(problem: DampedLeastSquares, k: Bidiagonalisation) -> None:
    """One iteration, in place: a step of the bidiagonalisation, two plane rotations, and the
    update of x; one product with A and one with Aᵀ. Below `Bidiagonalisation.floor` x stays."""
    above = k.zeta_bar.abs() > k.floor()
    beta = _next_left(problem, k)
    _next_right(problem, k, beta)
    before = k.rho * k.rho_bar
    k.rho = torch.hypot(k.alpha_bar, beta)
    sine = _quotient(beta, k.rho)
    theta, k.alpha_bar = sine * k.alpha, _quotient(k.alpha_bar, k.rho) * k.alpha
    theta_bar = k.s_bar * k.rho
    k.rho_bar = torch.hypot(k.c_bar * k.rho, theta)
    k.c_bar, k.s_bar = _quotient(k.c_bar * k.rho, k.rho_bar), _quotient(theta, k.rho_bar)
    zeta = torch.where(above, k.c_bar * k.zeta_bar, torch.zeros_like(beta))
    k.zeta_bar = torch.where(above, -k.s_bar * k.zeta_bar, k.zeta_bar)
    k.norm_r = torch.where(above, sine * k.norm_r, k.norm_r)

    k.h_bar.mul_(-_quotient(theta_bar * k.rho, before)).add_(k.h)
    k.x.addcmul_(k.h_bar, _quotient(zeta, k.rho * k.rho_bar).to(k.x.dtype))
    k.h.mul_(-_quotient(theta, k.rho)).add_(k.w)


def _next_left(problem: DampedLeastSquares, k: Bidiagonalisation) -> Tensor:
    """β u ← Â v − α u."""
    root = problem.shift**0.5
    k.u.mul_(-k.alpha).add_(problem.A.matvec(k.w))
    k.u_shift.mul_(-k.alpha).add_(k.w, alpha=root)
    beta = torch.hypot(problem.A.norm(k.u), _norm(k.u_shift))
    k.norm_a = torch.maximum(k.norm_a, torch.hypot(k.alpha, beta))
    for rows in (k.u, k.u_shift):
        rows.mul_(_quotient(torch.ones_like(beta), beta))
    return beta


def _next_right(problem: DampedLeastSquares, k: Bidiagonalisation, beta: Tensor) -> None:
    """α v ← Âᵀ u − β v, and w = L⁻ᵀ v."""
    g = problem.A.rmatvec(k.u).add_(k.u_shift, alpha=problem.shift**0.5)
    k.v.mul_(-beta).add_(problem.solve_lower(g))
    k.alpha = _norm(k.v)
    k.v.mul_(_quotient(torch.ones_like(beta), k.alpha))
    k.w = problem.solve_upper(k.v)


def _norm(v: Tensor) -> Tensor:
    return dot(v, v).sqrt()


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 for b = 0: an exhausted Krylov space adds nothing."""
    return torch.where(b == 0, b, a / b)
