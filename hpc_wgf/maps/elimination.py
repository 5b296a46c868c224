"""Volumes and inverses of many small matrices at once, by elimination over all samples.

LAPACK takes one small matrix at a time and spends most of it on overheads. Here a step of the
elimination is one operation on all samples, which come last in memory: (k, k, n). Pivots are not
exchanged. As matrices near the identity hardly need that, and others might, the multipliers are
watched: where one is larger than partial pivoting would allow by far, LAPACK takes the matrix. The
choice is made sample by sample, so that it does not depend on how samples are shared out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import signed_volume

_LARGEST = 24  # k, beyond which LAPACK is as fast
_MOST_BYTES = 4 << 20  # of the matrices eliminated together: they should stay in cache
_MOST_MULTIPLIED = 16.0  # multiplier without exchange of pivots; with it, 1


def volume(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """log|det| (n,) and det > 0 (n,) of (k, k, n). Not-a-number counts as not positive."""
    if not _fits(matrices):
        return signed_volume(matrices.permute(2, 0, 1))
    return _signed(*_joined([_volume(part) for part in _parts(matrices)]))


def inverse(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverses (k, k, n), and `volume`, of (k, k, n)."""
    if not _fits(matrices):
        whole = matrices.permute(2, 0, 1)
        inverses = torch.linalg.inv_ex(whole).inverse.permute(1, 2, 0)
        return (inverses, *signed_volume(whole))
    inverses, sign, log_abs = _joined([_inverse(part) for part in _parts(matrices)])
    return (inverses, *_signed(sign, log_abs))


def _fits(matrices: Tensor) -> bool:
    """Whether elimination is faster here; it is not made to be differentiated."""
    on_cpu = matrices.device.type == "cpu"
    return on_cpu and len(matrices) <= _LARGEST and not matrices.requires_grad


def _parts(matrices: Tensor) -> tuple[Tensor, ...]:
    k = len(matrices)
    return matrices.split(max(64, _MOST_BYTES // (k * k * matrices.element_size())), 2)


def _joined(parts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [torch.cat(each, -1) for each in zip(*parts, strict=True)]


def _signed(sign: Tensor, log_abs: Tensor) -> tuple[Tensor, Tensor]:
    return log_abs, sign > 0


def _volume(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """sign and log|det|, by A_{>j,>j} ← A_{>j,>j} − (A_{>j,j}/A_jj) A_{j,>j} for all j."""
    left, determinant = matrices.clone(), _one(matrices)
    multiplied = torch.zeros_like(determinant)
    for _ in range(len(matrices) - 1):
        pivot = left[0, 0]
        determinant = determinant * pivot
        factors = left[1:, 0] / pivot
        multiplied = _largest(multiplied, factors)
        left = left[1:, 1:].addcmul_(factors[:, None], left[0, None, 1:], value=-1.0)
    determinant = determinant * left[0, 0]
    sign, log_abs = determinant.sign(), determinant.abs().log()
    odd = _odd(multiplied, log_abs)
    if len(odd):
        odd_sign, odd_log = torch.linalg.slogdet(matrices[:, :, odd].permute(2, 0, 1))
        sign[odd], log_abs[odd] = odd_sign, odd_log
    return sign, log_abs


def _inverse(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverses too, by Gauss–Jordan elimination in place."""
    left, determinant = matrices.clone(), _one(matrices)
    multiplied = torch.zeros_like(determinant)
    for j in range(len(matrices)):
        pivot = left[j, j].clone()
        determinant = determinant * pivot
        column = left[:, j].clone()
        column[j] = 0.0
        multiplied = _largest(multiplied, column[j + 1 :] / pivot)
        left[:, j] = 0.0
        left[j, j] = 1.0
        left[j] /= pivot
        left.addcmul_(column[:, None], left[j].clone()[None], value=-1.0)
    sign, log_abs = determinant.sign(), determinant.abs().log()
    odd = _odd(multiplied, log_abs)
    if len(odd):
        whole = matrices[:, :, odd].permute(2, 0, 1)
        sign[odd], log_abs[odd] = torch.linalg.slogdet(whole)
        # One by one: in a batch the bits that LAPACK returns depend on a matrix's place in memory.
        inverses = [torch.linalg.inv_ex(one.clone()).inverse for one in whole]
        left[:, :, odd] = torch.stack(inverses, 2)
    return left, sign, log_abs


def _one(matrices: Tensor) -> Tensor:
    return torch.ones_like(matrices[0, 0])


def _largest(multiplied: Tensor, factors: Tensor) -> Tensor:
    return torch.maximum(multiplied, factors.abs().amax(0)) if len(factors) else multiplied


def _odd(multiplied: Tensor, log_abs: Tensor) -> Tensor:
    """Samples that want an exchange of pivots, or whose determinant has left the numbers."""
    sound = (multiplied <= _MOST_MULTIPLIED) & log_abs.isfinite()
    return (~sound).nonzero()[:, 0]
