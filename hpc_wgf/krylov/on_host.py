"""The iteration of MINRES on a CPU, with the scalars of its recurrences as numbers of Python.

It does what `recurrence` does with scalars on the device, to the bit. There the forty operations on
single numbers are tensors, so that nothing waits for a GPU; on a CPU they would take longer than
a small product.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..accounts import Part, part
from .operator import LinearOperator, Preconditioner
from .recurrence import Seen
from .stats import dot


class HostIteration:
    """A step of the iteration for one operator and preconditioner, and its state; the names are
    those of `Lanczos` and `Scalars`."""

    def __init__(
        self, A: LinearOperator, like: Tensor, precondition: Preconditioner
    ) -> None:  # fmt: skip
        """`like`: a vector of the size and dtype of right-hand sides."""
        self._A, self._precondition = A, precondition
        self.x, self._v, self._w, self._w2 = (torch.empty_like(like) for _ in range(4))
        self._r, self._r1, self._r2 = (torch.empty_like(like) for _ in range(3))
        self._y = self._r2
        self._eps = torch.finfo(like.dtype).eps
        self._most = torch.finfo(like.dtype).max

    def begin(self, b: Tensor, shift: float) -> None:
        """Start at x = 0 for (A + σI) x = b."""
        for vector in (self.x, self._v, self._w, self._w2):
            vector.zero_()
        for vector in (self._r, self._r1, self._r2):
            vector.copy_(b)
        self._y, self._shift = self._preconditioned(b), shift
        self._beta = self._phibar = float(dot(b, self._y).sqrt())
        self._norm_b = float(dot(b, b))
        self._cs = -1.0
        self._old_beta = self._dbar = self._epsln = self._sn = 0.0
        self._norm_ar = self._norm_a = self._residual = 0.0

    def advance(self) -> None:
        """One iteration: a Lanczos step, a plane rotation, and the update of x; one product."""
        v = torch.mul(self._y, _inverse(self._beta), out=self._v)
        y = self._A.matvec(v)
        if self._shift:
            y.add_(v, alpha=self._shift)
        y.add_(self._r1, alpha=self._scalar(-self._beta * _inverse(self._old_beta)))
        alpha = float(dot(v, y))
        y.add_(self._r2, alpha=self._scalar(-alpha * _inverse(self._beta)))
        self._r1, self._r2 = self._r2, self._r1
        self._r2.copy_(y)
        self._y = self._preconditioned(self._r2)
        # By torch, whose last bit of a root may be another than that of Python.
        beta = float(dot(self._r2, self._y).clamp_min(0.0).sqrt())
        old_epsln, delta, gamma, phi = self._rotate(alpha, beta)
        self._move(old_epsln, delta, gamma, phi)
        self._residual = float(dot(self._r, self._r))

    def _preconditioned(self, v: Tensor) -> Tensor:
        with part(Part.PRECONDITIONING):
            return self._precondition(v)

    def _scalar(self, a: float) -> float:
        """a, or what it is in the dtype of the vectors where it does not fit: torch refuses it."""
        return math.copysign(math.inf, a) if abs(a) > self._most else a

    def _rotate(self, alpha: float, beta: float) -> tuple[float, float, float, float]:
        """The next plane rotation: ε of that before the last, and δ, γ and φ of the new one."""
        coupled = self._beta if self._old_beta > 0 else 0.0
        self._old_beta = self._beta
        column = math.sqrt(coupled * coupled + alpha * alpha + beta * beta)
        # A number that is none must stay: `not >=` is true for it.
        self._norm_a = self._norm_a if self._norm_a >= column else column
        # In an exhausted Krylov space β is 0 but for rounding errors, and is then set to 0.
        self._beta = 0.0 if beta <= self._eps * self._norm_a else beta
        old_epsln = self._epsln
        delta = self._cs * self._dbar + self._sn * alpha
        gbar = self._sn * self._dbar - self._cs * alpha
        self._epsln = self._sn * self._beta
        self._dbar = -self._cs * self._beta
        self._norm_ar = self._phibar * hypotenuse(gbar, self._dbar)
        gamma = hypotenuse(gbar, self._beta)
        self._cs, self._sn = gbar * _inverse(gamma), self._beta * _inverse(gamma)
        phi = self._cs * self._phibar
        self._phibar *= self._sn
        return old_epsln, delta, gamma, phi

    def _move(self, old_epsln: float, delta: float, gamma: float, phi: float) -> None:
        """w ← (v − ε w2 − δ w)/γ, x ← x + φ w, and the residual."""
        w = self._w2.mul_(-old_epsln).add_(self._v).add_(self._w, alpha=self._scalar(-delta))
        self.x.add_(w.mul_(_inverse(gamma)), alpha=self._scalar(phi))
        self._w, self._w2 = w, self._w
        # r ← s² r − c φ̄ r2/β is the Euclidean residual in a preconditioned iteration, too.
        self._r.mul_(self._sn * self._sn)
        factor = self._scalar(-(self._phibar * self._cs * _inverse(self._beta)))
        self._r.add_(self._r2, alpha=factor)

    def look(self) -> Seen:
        """What a check reads of the recurrences."""
        return Seen.of(
            self.x.dtype, residual=self._residual, beta=self._beta, norm_b=self._norm_b,
            norm_ar=self._norm_ar, norm_a=self._norm_a, phibar=self._phibar,
        )  # fmt: skip


def hypotenuse(a: float, b: float) -> float:
    """(a² + b²)^½ by the C library, as torch takes it of single numbers; Python has one of its own,
    whose last bit is sometimes another."""
    return float(np.hypot(a, b))


def _inverse(a: float) -> float:
    """1/a, and 0 for a = 0, so that an exhausted Krylov space adds nothing."""
    return 1.0 / a if a else a
