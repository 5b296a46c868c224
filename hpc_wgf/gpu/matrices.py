"""Inverses and determinants of many small matrices as Triton kernels: Gauss–Jordan elimination of
a tile of them at a time in registers, every matrix read once and its inverse written once.

The first kernel exchanges no pivots, which matrices near the identity hardly need, and marks those
that do; the second, with pivoting, takes these alone. One warp has a tile, with whole columns in
each of its lanes: sums over what other warps hold cost five times as much (measured on an H100).
"""

# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def"
from __future__ import annotations

import triton
import triton.language as tl

NUMBERS = 512  # of a tile of matrices: with twice as many a warp takes half as long again
MOST = 64  # matrices of a tile


@triton.jit(do_not_specialize=["n"])
def plain_kernel(
    matrices, inverses, log_abs, sign, marked,
    n: tl.int64, k, row: tl.int64, column: tl.int64, number: tl.int64, most,
    K: tl.constexpr, MATRICES: tl.constexpr, INVERSE: tl.constexpr,
):  # fmt: skip
    """As `pivoting_kernel`, with A_cc as the pivot of step c. `marked` ← whether a multiplier
    |A_ic/A_cc|, i > c, exceeds `most`, or the determinant under- or overflows, (n,)."""
    i = tl.arange(0, K)
    which = tl.program_id(0).to(tl.int64) * MATRICES + tl.arange(0, MATRICES)
    known = which < n
    inside = (i < k)[:, None, None] & (i < k)[None, :, None] & known[None, None, :]
    there = i[:, None, None] * row + i[None, :, None] * column + which[None, None, :] * number
    one = tl.where(i[:, None] == i[None], 1.0, 0.0)[:, :, None]
    left = tl.load(matrices + there, mask=inside, other=0.0)
    left = tl.where(inside, left, one.to(left.dtype))
    volume = tl.full((MATRICES,), 1.0, left.dtype)
    multiplied = tl.full((MATRICES,), 0.0, left.dtype)
    for c in range(k):
        of_row, of_column = i[:, None, None] == c, i[None, :, None] == c
        entries = tl.sum(tl.where(of_column, left, 0.0), 1)
        pivot = tl.sum(tl.where(i[:, None] == c, entries, 0.0), 0)
        below = tl.where(i[:, None] > c, tl.abs(entries), 0.0)
        multiplied = tl.maximum(multiplied, tl.max(below, 0) / tl.abs(pivot))
        volume *= pivot
        scaled = tl.sum(tl.where(of_row, left, 0.0), 0)
        scaled = tl.where(i[:, None] == c, 1.0, scaled) / pivot[None]
        rest = tl.where(of_column, 0.0, left) - entries[:, None, :] * scaled[None]
        left = tl.where(of_row, scaled[None], rest)
    size = tl.abs(volume)
    sound = (multiplied <= most) & (size > 0) & (size < float("inf"))
    tl.store(log_abs + which, tl.log(size), mask=known)
    tl.store(sign + which, tl.where(volume < 0, -1.0, 1.0), mask=known)
    tl.store(marked + which, tl.where(sound, 0, 1).to(tl.int8), mask=known)
    if INVERSE:
        places = (i[:, None, None] * k + i[None, :, None]).to(tl.int64) * n + which[None, None, :]
        tl.store(inverses + places, left, mask=inside)


@triton.jit(do_not_specialize=["n"])
def pivoting_kernel(
    matrices, inverses, log_abs, sign, marked,
    n: tl.int64, k, row: tl.int64, column: tl.int64, number: tl.int64,
    K: tl.constexpr, MATRICES: tl.constexpr, INVERSE: tl.constexpr,
):  # fmt: skip
    """Where `marked`: `inverses` ← A⁻¹, (k, k, n), where INVERSE; `log_abs` ← log|det A|, `sign` ←
    the sign of det A, (n,) each, of n matrices A, (k, k, n) with these strides. K: k, padded.

    Gauss–Jordan elimination in place, with partial pivoting that exchanges no rows: step c takes
    for its pivot the largest of column c in the rows that had none yet, p_c. What is left in row
    p_c and column c' is (A⁻¹)_{c, p_c'}."""
    i = tl.arange(0, K)
    which = tl.program_id(0).to(tl.int64) * MATRICES + tl.arange(0, MATRICES)
    known = which < n
    known = known & (tl.load(marked + which, mask=known, other=0) != 0)
    if tl.max(known.to(tl.int32), 0) > 0:
        inside = (i < k)[:, None, None] & (i < k)[None, :, None] & known[None, None, :]
        there = i[:, None, None] * row + i[None, :, None] * column + which[None, None, :] * number
        one = tl.where(i[:, None] == i[None], 1.0, 0.0)[:, :, None]
        left = tl.load(matrices + there, mask=inside, other=0.0)
        left = tl.where(inside, left, one.to(left.dtype))
        # The step in which each row gave the pivot, and the row of each step; padding stays.
        taken = tl.where(i[:, None] < k, -1, i[:, None]) + tl.full((K, MATRICES), 0, tl.int32)
        pivots = i[:, None] + tl.full((K, MATRICES), 0, tl.int32)
        total = tl.full((MATRICES,), 0.0, left.dtype)
        turned = tl.full((MATRICES,), 1.0, left.dtype)
        for c in range(k):
            of_column = i[None, :, None] == c
            entries = tl.sum(tl.where(of_column, left, 0.0), 1)
            p = tl.argmax(tl.where(taken < 0, tl.abs(entries), -1.0), 0).to(tl.int32)
            chosen = i[:, None] == p[None]
            pivot = tl.sum(tl.where(chosen, entries, 0.0), 0)
            scaled = tl.sum(tl.where(chosen[:, None, :], left, 0.0), 0)
            scaled = tl.where(i[:, None] == c, 1.0, scaled) / pivot[None]
            rest = tl.where(of_column, 0.0, left) - entries[:, None, :] * scaled[None]
            left = tl.where(chosen[:, None, :], scaled[None], rest)
            taken = tl.where(chosen, c, taken)
            pivots = tl.where(i[:, None] == c, p[None], pivots)
            total += tl.log(tl.abs(pivot))
            # Not a number where the pivot is none, but 0 after a pivot 0.
            of_pivot = tl.where(pivot > 0, 1.0, tl.where(pivot < 0, -1.0, pivot))
            turned = tl.where(turned == 0, 0.0, turned * of_pivot)
        exchanged = (pivots[:, None, :] > pivots[None]) & (i[:, None] < i[None])[:, :, None]
        odd = tl.sum(tl.sum(exchanged.to(tl.int32), 0), 0) % 2 == 1
        total = tl.where(turned == 0, float("-inf"), total)
        tl.store(log_abs + which, total, mask=known)
        tl.store(sign + which, tl.where(odd, -turned, turned), mask=known)
        if INVERSE:
            sound = (tl.abs(total) < float("inf"))[None, None]
            # Where rows have no order, every place is written all the same.
            r = tl.where(sound, taken[:, None, :], i[:, None, None])
            s = tl.where(sound, pivots[None], i[None, :, None])
            found = tl.where(sound, left, float("nan"))
            places = (r.to(tl.int64) * k + s) * n + which[None, None, :]
            tl.store(inverses + places, found, mask=inside)
