"""The recurrences of LSMR: Golub–Kahan bidiagonalisation, two plane rotations, the update of x.

Source: D. C.-L. Fong, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 2950, Sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .operator import LeastSquaresOperator, SplitPreconditioner
from .stats import dot


@dataclass
class DampedLeastSquares:
    """Â = [A; √σ I] L⁻ᵀ: damping bears on x = L⁻ᵀy and not on y, so that it is rows of Â."""

    A: LeastSquaresOperator
    shift: float
    preconditioner: SplitPreconditioner

    def residuals(self, x: Tensor, b: Tensor) -> tuple[float, float]:
        """‖g‖ and ‖L⁻¹g‖ of g = Aᵀ(b − A x) − σx, recomputed."""
        r = self.A.matvec(x).neg_().add_(b)
        g = self.A.rmatvec(r).sub_(x, alpha=self.shift)
        return _norm(g).item(), _norm(self.preconditioner.solve_lower(g)).item()


@dataclass
class Bidiagonalisation:
    """The recurrences' state, named as in the source. Scalars are 0-d float64 tensors on the
    device of x, so that an iteration reads nothing back to the host."""

    x: Tensor
    u: Tensor  # rows of A
    u_shift: Tensor  # rows of √σ I
    v: Tensor
    w: Tensor  # L⁻ᵀ v
    h: Tensor  # h and h̄ of the source times L⁻ᵀ, so that x needs no product with it
    h_bar: Tensor
    alpha: Tensor
    alpha_bar: Tensor
    rho: Tensor
    rho_bar: Tensor
    c_bar: Tensor
    s_bar: Tensor
    zeta_bar: Tensor  # its modulus is ‖L⁻¹(Aᵀr − σx)‖
    norm_b: Tensor
    norm_r: Tensor  # that of LSQR, whose first rotation is the same: at most ‖r̂‖
    norm_a: Tensor  # largest column of the bidiagonal matrix, an estimate of ‖Â‖ from below

    def floor(self) -> Tensor:
        """What rounding leaves of ‖Âᵀr̂‖. An iterate that goes on below it gains nothing, and runs
        away along the null space (rule S2 of the source, with an ATOL of eight epsilons, and r
        not below what rounding leaves of it)."""
        eps = torch.finfo(self.x.dtype).eps
        return eps * self.norm_a * (8 * self.norm_r + 0.01 * self.norm_b)


def start(problem: DampedLeastSquares, b: Tensor) -> tuple[Bidiagonalisation, float]:
    """The state before the first iteration, and ‖Aᵀb‖."""
    beta = problem.A.norm(b)
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    u = b * _quotient(one, beta).to(b.dtype)
    g = problem.A.rmatvec(u)
    norm_atb = float(beta * _norm(g))
    v = problem.preconditioner.solve_lower(g)
    alpha = _norm(v)
    v.mul_(_quotient(one, alpha))
    w = problem.preconditioner.solve_upper(v)
    nil = torch.zeros_like(v)
    state = Bidiagonalisation(
        x=nil, u=u, u_shift=nil.clone(), v=v, w=w, h=w.clone(), h_bar=nil.clone(), alpha=alpha,
        alpha_bar=alpha, rho=one, rho_bar=one, c_bar=one, s_bar=zero, zeta_bar=alpha * beta,
        norm_b=beta, norm_r=beta, norm_a=zero,
    )  # fmt: skip
    return state, norm_atb


def advance(problem: DampedLeastSquares, k: Bidiagonalisation) -> None:
    """One step of the bidiagonalisation, two plane rotations, one update of x; one product."""
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
    for part in (k.u, k.u_shift):
        part.mul_(_quotient(torch.ones_like(beta), beta))
    return beta


def _next_right(problem: DampedLeastSquares, k: Bidiagonalisation, beta: Tensor) -> None:
    """α v ← Âᵀ u − β v, and w = L⁻ᵀ v."""
    g = problem.A.rmatvec(k.u).add_(k.u_shift, alpha=problem.shift**0.5)
    k.v.mul_(-beta).add_(problem.preconditioner.solve_lower(g))
    k.alpha = _norm(k.v)
    k.v.mul_(_quotient(torch.ones_like(beta), k.alpha))
    k.w = problem.preconditioner.solve_upper(k.v)


def _norm(v: Tensor) -> Tensor:
    return dot(v, v).sqrt()


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 for b = 0: an exhausted Krylov space adds nothing."""
    return torch.where(b == 0, b, a / b)
