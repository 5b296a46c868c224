"""Determinants and inverses of many small matrices, by Gaussian elimination of all at once.

LAPACK factors one matrix after another, and for small ones most of its time is overhead. Here a
step of the elimination is one operation on the matrices of all n samples, (k, k, n), without
pivoting, which matrices near the identity hardly need. Where a multiplier |A_ij/A_jj| exceeds 16
(with partial pivoting none exceeds 1), or the result is not finite, LAPACK takes that matrix. This
is decided for each matrix alone, so that it does not depend on how samples are cut into chunks.
On a GPU kernels do the same. For k ≤ 2 Cramer's rule is as accurate on a CPU, and faster.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..gpu import LARGEST_INVERSE, inverses, usable
from .base import signed_volume
from .factors import Factors

_CLOSED = 2  # For so small k, formulas with determinants take the place of an elimination.
_LARGEST = 24  # For larger k, LAPACK is as fast.
_MOST_BYTES = 4 << 20  # Matrices that are eliminated together should stay in cache.
_MOST_MULTIPLIED = 16.0  # Larger multipliers would magnify rounding errors too much.


def volume(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """log|det A| and whether det A > 0, (n,) each, of n matrices A stored as (k, k, n).

    A determinant that is not a number counts as not positive.
    """
    if _by_kernel(matrices):
        return _of_kernel(matrices, wanted=False)[1:]
    if not _fits(matrices):
        return signed_volume(matrices.permute(2, 0, 1))
    return _signed(*_joined([_volume(part) for part in _parts(matrices)]))


def inverse(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A⁻¹, (k, k, n), and log|det A| and det A > 0 as of `volume`, of n matrices A, (k, k, n)."""
    if _by_kernel(matrices):
        return _of_kernel(matrices, wanted=True)
    if matrices.is_cuda:
        factors = Factors.of(matrices.permute(2, 0, 1))
        return factors.inverse().permute(1, 2, 0), factors.log_abs, factors.positive
    if not _fits(matrices):
        whole = matrices.permute(2, 0, 1)
        found = torch.linalg.inv_ex(whole).inverse.permute(1, 2, 0)
        return (found, *signed_volume(whole))
    found, sign, log_abs = _joined([_inverse(part) for part in _parts(matrices)])
    return (found, *_signed(sign, log_abs))


def transposed_times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Aᵀ v of every sample: (k, k, n), (n, k) → (n, k)."""
    if not matrices.is_contiguous():
        return torch.einsum("ijn,ni->nj", matrices, vectors)
    columns = vectors.T.contiguous()
    if matrices.is_cuda:
        return (matrices * columns[:, None]).sum(0).T
    # Row by row, as the order in which a sum is taken depends on the number of samples.
    total = matrices[0] * columns[0]
    for row, column in zip(matrices[1:], columns[1:], strict=True):
        total.addcmul_(row, column)
    return total.T


def _by_kernel(matrices: Tensor) -> bool:
    small = len(matrices) <= LARGEST_INVERSE and not matrices.requires_grad
    return small and matrices.is_cuda and usable(matrices.device)


def _of_kernel(matrices: Tensor, *, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    found, log_abs, sign = inverses(matrices, _MOST_MULTIPLIED, wanted=wanted)
    return (found, *_signed(sign, log_abs))


def _fits(matrices: Tensor) -> bool:
    """Whether to eliminate here: small matrices on a CPU, and no gradient, as it works in place."""
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
    """Sign and log|det|."""
    small = len(matrices) <= _CLOSED
    determinant, multiplied = (_determinant if small else _triangular)(matrices)
    sign, log_abs = determinant.sign(), determinant.abs().log()
    odd = _odd(multiplied, log_abs)
    if len(odd):
        odd_sign, odd_log = torch.linalg.slogdet(matrices[:, :, odd].permute(2, 0, 1))
        sign[odd], log_abs[odd] = odd_sign, odd_log
    return sign, log_abs


def _inverse(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inverses, signs and log|det|."""
    small = len(matrices) <= _CLOSED
    left, determinant, multiplied = (_by_cramer if small else _eliminated)(matrices)
    sign, log_abs = determinant.sign(), determinant.abs().log()
    odd = _odd(multiplied, log_abs)
    if len(odd):
        whole = matrices[:, :, odd].permute(2, 0, 1)
        sign[odd], log_abs[odd] = torch.linalg.slogdet(whole)
        # One by one, as in a batch the bits that LAPACK returns depend on a matrix's address.
        alone = [torch.linalg.inv_ex(one.clone()).inverse for one in whole]
        left[:, :, odd] = torch.stack(alone, 2)
    return left, sign, log_abs


def _triangular(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Determinants and the largest multipliers, by A_{>j,>j} ← A_{>j,>j} − (A_{>j,j}/A_jj) A_{j,>j}
    for all j."""
    left, determinant = matrices.clone(), _one(matrices)
    multiplied = torch.zeros_like(determinant)
    for _ in range(len(matrices) - 1):
        pivot = left[0, 0]
        determinant = determinant * pivot
        factors = left[1:, 0] / pivot
        multiplied = _largest(multiplied, factors)
        left = left[1:, 1:].addcmul_(factors[:, None], left[0, None, 1:], value=-1.0)
    return determinant * left[0, 0], multiplied


def _eliminated(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inverses, determinants and the largest multipliers, by Gauss–Jordan elimination in place."""
    left, determinant = matrices.clone(), _one(matrices)
    multiplied = torch.zeros_like(determinant)
    for j in range(len(matrices)):
        column, row = left[:, j].clone(), left[j]
        pivot = column[j].clone()
        determinant = determinant * pivot
        column[j].zero_()
        multiplied = _largest(multiplied, column[j + 1 :] / pivot)
        left[:, j].zero_()
        row[j].fill_(1.0)
        row.div_(pivot)
        left.addcmul_(column[:, None], row.clone()[None], value=-1.0)
    return left, determinant, multiplied


def _determinant(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """The same as `_triangular` of matrices with at most two rows, of which none is multiplied."""
    found = matrices[0, 0]
    if len(matrices) > 1:
        found = torch.addcmul(found * matrices[1, 1], matrices[0, 1], matrices[1, 0], value=-1.0)
    return found, matrices.new_zeros(1)


def _by_cramer(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same as `_eliminated` of matrices with at most two rows."""
    determinant, multiplied = _determinant(matrices)
    if len(matrices) == 1:
        return 1.0 / matrices, determinant, multiplied
    left = torch.empty_like(matrices, memory_format=torch.contiguous_format)
    left[0, 0], left[1, 1] = matrices[1, 1], matrices[0, 0]
    torch.neg(matrices[0, 1], out=left[0, 1])
    torch.neg(matrices[1, 0], out=left[1, 0])
    return left.div_(determinant), determinant, multiplied


def _one(matrices: Tensor) -> Tensor:
    return torch.ones_like(matrices[0, 0])


def _largest(multiplied: Tensor, factors: Tensor) -> Tensor:
    return torch.maximum(multiplied, factors.abs().amax(0)) if len(factors) else multiplied


def _odd(multiplied: Tensor, log_abs: Tensor) -> Tensor:
    """The matrices that need pivoting, or whose determinant under- or overflows."""
    sound = (multiplied <= _MOST_MULTIPLIED) & log_abs.isfinite()
    return (~sound).nonzero()[:, 0]
