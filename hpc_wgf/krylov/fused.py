"""The steps of `recurrence`, each as one kernel: 97 small ones of an iteration are 5 then.

Only imported on a GPU, with Triton. The arithmetic is that of `recurrence` but for the rounding of
products that are added at once, and of √(a² + b²).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .recurrence import PLACES, Lanczos

_BLOCK = 1024
_BETA, _OLD_BETA = tl.constexpr(PLACES["beta"]), tl.constexpr(PLACES["old_beta"])
_DBAR, _EPSLN = tl.constexpr(PLACES["dbar"]), tl.constexpr(PLACES["epsln"])
_PHIBAR, _CS, _SN = (tl.constexpr(PLACES[name]) for name in ("phibar", "cs", "sn"))
_NORM_AR, _NORM_A = tl.constexpr(PLACES["norm_ar"]), tl.constexpr(PLACES["norm_a"])
_SHIFT, _OLD_EPSLN = tl.constexpr(PLACES["shift"]), tl.constexpr(PLACES["old_epsln"])
_DELTA, _GAMMA, _PHI = (tl.constexpr(PLACES[name]) for name in ("delta", "gamma", "phi"))


def normalise(s: Lanczos) -> None:
    """See `recurrence.normalise`."""
    _launch(normalise_kernel, s.x, s.y, s.v, s.scalars.vector)


def orthogonalise(s: Lanczos, y: Tensor) -> None:
    """See `recurrence.orthogonalise`."""
    _launch(orthogonalise_kernel, s.x, y, s.v, s.r1, s.scalars.vector)


def exchange(s: Lanczos, y: Tensor, alpha: Tensor) -> None:
    """See `recurrence.exchange`; y stays."""
    _launch(exchange_kernel, s.x, y, s.r1, s.r2, alpha, s.scalars.vector)


def rotate(s: Lanczos, alpha: Tensor, square: Tensor) -> None:
    """See `recurrence.rotate`."""
    rotate_kernel[(1,)](alpha, square, s.scalars.vector, torch.finfo(s.x.dtype).eps)


def move(s: Lanczos) -> None:
    """See `recurrence.move`."""
    _launch(move_kernel, s.x, s.x, s.r, s.r2, s.v, s.w, s.w2, s.scalars.vector)


def _launch(kernel: Any, like: Tensor, *arguments: Tensor) -> None:
    """Run a kernel on all entries of vectors like the given one."""
    p = like.numel()
    kernel[(triton.cdiv(p, _BLOCK),)](*arguments, p, BLOCK=_BLOCK)


@triton.jit
def _inverse(a):
    return tl.where(a == 0, a, 1.0 / tl.where(a == 0, 1.0, a))


@triton.jit
def _hypot(a, b):
    most = tl.maximum(tl.abs(a), tl.abs(b))
    ratio = tl.minimum(tl.abs(a), tl.abs(b)) * _inverse(most)
    return most * tl.sqrt(1.0 + ratio * ratio)


@triton.jit
def normalise_kernel(y, v, c, p, BLOCK: tl.constexpr):
    """v ← y/β."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < p
    old = tl.load(y + at, mask=inside, other=0.0)
    factor = _inverse(tl.load(c + _BETA)).to(old.dtype)
    tl.store(v + at, old * factor, mask=inside)


@triton.jit
def orthogonalise_kernel(y, v, r1, c, p, BLOCK: tl.constexpr):
    """y ← y + σv − (β/β') r1."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < p
    old = tl.load(y + at, mask=inside, other=0.0)
    shift = tl.load(c + _SHIFT).to(old.dtype)
    factor = (tl.load(c + _BETA) * _inverse(tl.load(c + _OLD_BETA))).to(old.dtype)
    new = old + shift * tl.load(v + at, mask=inside, other=0.0)
    new -= factor * tl.load(r1 + at, mask=inside, other=0.0)
    tl.store(y + at, new, mask=inside)


@triton.jit
def exchange_kernel(y, r1, r2, alpha, c, p, BLOCK: tl.constexpr):
    """(r1, r2) ← (r2, y − (α/β) r2)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < p
    last = tl.load(r2 + at, mask=inside, other=0.0)
    factor = (tl.load(alpha) * _inverse(tl.load(c + _BETA))).to(last.dtype)
    new = tl.load(y + at, mask=inside, other=0.0) - factor * last
    tl.store(r1 + at, last, mask=inside)
    tl.store(r2 + at, new, mask=inside)


@triton.jit
def rotate_kernel(alpha, square, c, eps):
    """All scalars, by one program. A β that is not a number stays one."""
    a, found = tl.load(alpha), tl.load(square)
    beta = tl.where(found < 0, 0.0, tl.sqrt(tl.where(found < 0, 0.0, found)))
    last, before = tl.load(c + _BETA), tl.load(c + _OLD_BETA)
    cs, sn = tl.load(c + _CS), tl.load(c + _SN)
    dbar, phibar = tl.load(c + _DBAR), tl.load(c + _PHIBAR)
    epsln, norm_a = tl.load(c + _EPSLN), tl.load(c + _NORM_A)
    coupled = tl.where(before > 0, last, 0.0)
    column = tl.sqrt(coupled * coupled + a * a + beta * beta)
    norm_a = tl.where(column > norm_a, column, norm_a)
    beta = tl.where(beta <= eps * norm_a, 0.0, beta)
    delta = cs * dbar + sn * a
    gbar = sn * dbar - cs * a
    dbar = -cs * beta
    gamma = _hypot(gbar, beta)
    tl.store(c + _OLD_EPSLN, epsln)
    tl.store(c + _EPSLN, sn * beta)
    cs, sn = gbar * _inverse(gamma), beta * _inverse(gamma)
    tl.store(c + _OLD_BETA, last)
    tl.store(c + _BETA, beta)
    tl.store(c + _NORM_A, norm_a)
    tl.store(c + _NORM_AR, phibar * _hypot(gbar, dbar))
    tl.store(c + _DBAR, dbar)
    tl.store(c + _DELTA, delta)
    tl.store(c + _GAMMA, gamma)
    tl.store(c + _CS, cs)
    tl.store(c + _SN, sn)
    tl.store(c + _PHI, cs * phibar)
    tl.store(c + _PHIBAR, phibar * sn)


@triton.jit
def move_kernel(x, r, r2, v, w, w2, c, p, BLOCK: tl.constexpr):
    """w ← (v − ε w2 − δ w)/γ, x ← x + φ w, r ← s² r − (c φ̄/β) r2."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < p
    old, older = tl.load(w + at, mask=inside, other=0.0), tl.load(w2 + at, mask=inside, other=0.0)
    residual = tl.load(r + at, mask=inside, other=0.0)
    sn = tl.load(c + _SN)
    decay = (sn * sn).to(old.dtype)
    taken = tl.load(c + _PHIBAR) * tl.load(c + _CS) * _inverse(tl.load(c + _BETA))
    new = older * -tl.load(c + _OLD_EPSLN).to(old.dtype)
    new = new + tl.load(v + at, mask=inside, other=0.0)
    new = new - old * tl.load(c + _DELTA).to(old.dtype)
    new = new * _inverse(tl.load(c + _GAMMA)).to(old.dtype)
    moved = tl.load(x + at, mask=inside, other=0.0) + new * tl.load(c + _PHI).to(old.dtype)
    residual = residual * decay - taken.to(old.dtype) * tl.load(r2 + at, mask=inside, other=0.0)
    tl.store(x + at, moved, mask=inside)
    tl.store(w2 + at, old, mask=inside)
    tl.store(w + at, new, mask=inside)
    tl.store(r + at, residual, mask=inside)
