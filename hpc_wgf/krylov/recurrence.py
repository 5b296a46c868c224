"""The state of MINRES and the small steps of its iteration, between product and preconditioner.

The functions of this module and those of `fused`, which have the same names, do the same: here
operation by operation, on any device; there each as one kernel of a GPU. On a CPU `on_host` does it
with the scalars as numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor


@dataclass
class Scalars:
    """0-d float64 tensors on the device of b, so that an iteration reads nothing back: views of
    one vector, so that a look at them is one transfer."""

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
    """‖r‖² in the Euclidean norm."""
    norm_b: Tensor
    """‖b‖² in the Euclidean norm."""
    shift: Tensor
    """σ."""
    old_epsln: Tensor
    """ε of the rotation before the last."""
    delta: Tensor
    """δ of the last rotation."""
    gamma: Tensor
    """γ of the last rotation."""
    phi: Tensor
    """φ of the last rotation."""

    @classmethod
    def on(cls, device: torch.device) -> Self:
        """Uninitialised."""
        names = [each.name for each in fields(cls)]
        return cls(*torch.empty(len(names), dtype=torch.float64, device=device).unbind())

    @property
    def vector(self) -> Tensor:
        """All of them, in their order."""
        whole = self.beta._base
        assert whole is not None
        return whole


PLACES = {each.name: place for place, each in enumerate(fields(Scalars))}
"""The place of every scalar in their vector."""


@dataclass
class Lanczos:
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
    scalars: Scalars
    """The scalars of the recurrences."""
    shift: float = 0.0
    """σ, the same number as among the scalars."""

    @classmethod
    def like(cls, b: Tensor) -> Self:
        """Uninitialised, for right-hand sides like b, (p,)."""
        x, r, r1, r2, y, v, w, w2 = (torch.empty_like(b) for _ in range(8))
        return cls(x, r, r1, r2, y, v, w, w2, Scalars.on(b.device))

    def begin(self, b: Tensor, y: Tensor, beta: Tensor, norm_b: Tensor, shift: float) -> None:
        """At x = 0 for b, (p,). `y`: M⁻¹b. `beta`: (bᵀM⁻¹b)^½. `norm_b`: ‖b‖². `shift`: σ."""
        c = self.scalars
        c.vector.zero_()
        for scalar, value in ((c.beta, beta), (c.phibar, beta), (c.norm_b, norm_b)):
            scalar.copy_(value)
        c.cs.fill_(-1.0)
        c.shift.fill_(shift)
        self.shift = shift
        for vector in (self.r, self.r1, self.r2):
            vector.copy_(b)
        for vector in (self.x, self.v, self.w, self.w2):
            vector.zero_()
        self.y.copy_(y)


# At this ‖A r‖/(‖A‖‖r‖) a residual is taken to be that of least squares. On singular, inconsistent
# systems the recurrence reaches about 1e-9 in double and 2e-5 in single precision before the
# iterate drifts along the null space. Consistent systems stay above these limits, unless they have
# eigenvalues below these fractions of ‖A‖.
_LEAST_SQUARES_LIMIT = {torch.float64: 1.5e-8, torch.float32: 1e-4}


class Seen(NamedTuple):
    """What a check reads of the recurrences."""

    residual: float
    """‖r‖ in the Euclidean norm."""
    beta: float
    """β of the last Lanczos step; not finite where a product is not."""
    norm_b: float
    """‖b‖."""
    at_least_squares: bool
    """Whether ‖A r‖ ≪ ‖A‖‖r‖, so that the residual falls in no direction any more."""

    @classmethod
    def of(
        cls, dtype: torch.dtype, *, residual: float, beta: float, norm_b: float, norm_ar: float,
        norm_a: float, phibar: float,
    ) -> Self:  # fmt: skip
        """From the scalars of these names, `residual` and `norm_b` squared."""
        stalled = norm_ar <= _LEAST_SQUARES_LIMIT[dtype] * norm_a * phibar and phibar > 0.0
        return cls(math.sqrt(residual), beta, math.sqrt(norm_b), stalled)


class Steps(Protocol):
    """The steps of an iteration, as functions of this module and of `fused`."""

    def normalise(self, s: Lanczos) -> None: ...
    def orthogonalise(self, s: Lanczos, y: Tensor) -> None: ...
    def exchange(self, s: Lanczos, y: Tensor, alpha: Tensor) -> None: ...
    def rotate(self, s: Lanczos, alpha: Tensor, square: Tensor) -> None: ...
    def move(self, s: Lanczos) -> None: ...


def normalise(s: Lanczos) -> None:
    """v ← y/β."""
    torch.mul(s.y, inverse(s.scalars.beta).to(s.x.dtype), out=s.v)


def orthogonalise(s: Lanczos, y: Tensor) -> None:
    """y ← y + σv − (β/β') r1, y: A v, β': β of the step before."""
    c = s.scalars
    if s.shift:
        y.add_(s.v, alpha=s.shift)
    y.addcmul_(s.r1, (c.beta * inverse(c.old_beta)).to(y.dtype), value=-1)


def exchange(s: Lanczos, y: Tensor, alpha: Tensor) -> None:
    """(r1, r2) ← (r2, y − (α/β) r2); y is overwritten. `alpha`: α = v·y."""
    y.addcmul_(s.r2, (alpha * inverse(s.scalars.beta)).to(y.dtype), value=-1)
    s.r1.copy_(s.r2)
    s.r2.copy_(y)


def rotate(s: Lanczos, alpha: Tensor, square: Tensor) -> None:
    """The next plane rotation: all scalars. `square`: β² = r2·M⁻¹r2 of the new vectors."""
    c, beta = s.scalars, square.clamp_min(0.0).sqrt()
    coupled = torch.where(c.old_beta > 0, c.beta, torch.zeros_like(c.beta))
    c.old_beta.copy_(c.beta)
    c.norm_a.copy_(torch.maximum(c.norm_a, (coupled**2 + alpha**2 + beta**2).sqrt()))
    # In an exhausted Krylov space β is 0 but for rounding errors, and is then set to 0.
    noise = torch.finfo(s.x.dtype).eps * c.norm_a
    # A β that is not a number must not be: `beta <= noise` is false for it.
    c.beta.copy_(torch.where(beta <= noise, torch.zeros_like(beta), beta))
    c.old_epsln.copy_(c.epsln)
    c.delta.copy_(c.cs * c.dbar + c.sn * alpha)
    gbar = c.sn * c.dbar - c.cs * alpha
    c.epsln.copy_(c.sn * c.beta)
    c.dbar.copy_(-c.cs * c.beta)
    c.norm_ar.copy_(c.phibar * torch.hypot(gbar, c.dbar))
    c.gamma.copy_(torch.hypot(gbar, c.beta))
    c.cs.copy_(gbar * inverse(c.gamma))
    c.sn.copy_(c.beta * inverse(c.gamma))
    c.phi.copy_(c.cs * c.phibar)
    c.phibar.mul_(c.sn)


def move(s: Lanczos) -> None:
    """w ← (v − ε w2 − δ w)/γ, x ← x + φ w, and the residual."""
    c, dtype = s.scalars, s.x.dtype
    # The new direction is built in w2, which is not needed any more.
    s.w2.mul_(c.old_epsln.neg().to(dtype)).add_(s.v).addcmul_(s.w, c.delta.to(dtype), value=-1)
    s.w2.mul_(inverse(c.gamma).to(dtype))
    s.x.addcmul_(s.w2, c.phi.to(dtype))
    s.v.copy_(s.w)
    s.w.copy_(s.w2)
    s.w2.copy_(s.v)
    # r ← s² r − c φ̄ r2/β is the Euclidean residual in a preconditioned iteration, too.
    s.r.mul_((c.sn * c.sn).to(dtype))
    s.r.addcmul_(s.r2, (c.phibar * c.cs * inverse(c.beta)).to(dtype), value=-1)


def inverse(a: Tensor) -> Tensor:
    """1/a, and 0 for a = 0, so that an exhausted Krylov space adds nothing."""
    return torch.where(a == 0, a, 1 / a)
