"""A Aᵀ, of which BLAS computes one half on a CPU; torch offers no such product."""

from __future__ import annotations

from functools import cache
from typing import Any

import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ..parallel import threads_as_of_torch

_ROWS = 384  # For fewer, half of the operations is not worth the import of BLAS.


def times_own_transpose(a: Tensor) -> Tensor:
    """A Aᵀ, (q, n) → (q, q), of a matrix that is stored by rows or by columns."""
    by_rows = a.is_contiguous()
    if a.is_cuda or len(a) < _ROWS or not (by_rows or a.T.is_contiguous()):
        return a @ a.T
    half: Tensor = torch.ops.hpc_wgf.half_of_own_product(a if by_rows else a.T, by_rows)
    return half + half.tril(-1).T


def _half(stored: Tensor, by_rows: bool) -> Tensor:
    """The lower half of A Aᵀ, and 0 above; `stored`: A or, not `by_rows`, Aᵀ."""
    product = _blas().dsyrk if stored.dtype is torch.float64 else _blas().ssyrk
    # It stores by columns: a matrix by rows is for it the transpose, and its upper half the lower.
    upper = product(1.0, stored.detach().numpy().T, trans=by_rows)
    return torch.from_numpy(upper).T


@cache
def _blas() -> Any:
    threads_as_of_torch()
    return scipy.linalg.blas


# An operation of torch, so that those who count operations see it (`profiling.tracing`); declared
# in this way, as the decorator for it imports torch's compiler, which takes seconds.
_OPERATIONS = torch.library.Library("hpc_wgf", "FRAGMENT")
_OPERATIONS.define("half_of_own_product(Tensor stored, bool by_rows) -> Tensor")
_OPERATIONS.impl("half_of_own_product", _half, "CPU")
