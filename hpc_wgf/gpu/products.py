"""Products of a linearised map as Triton kernels: sums over samples, and Jᵀ(W(Jv)) at once.

Matrices are few rows high and n samples long, so that memory decides, not arithmetic. Every program
takes consecutive samples, in tiles of `SAMPLES`, and keeps its sums in registers; torch adds up the
sums of the programs, in one order. In double precision `tl.dot` becomes tensor instructions.
"""

# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def"
from __future__ import annotations

import triton
import triton.language as tl

SAMPLES = 16  # of a tile: with more, sums spill from the registers
UNITS = 32  # hidden units of a program, whose few spills cost less than a second program
WARPS = 2  # of a program of a product: more would do the same products of tiles of 16 again
TILES = 8  # of a program: chunks of 65 536 samples are to keep all multiprocessors busy


@triton.jit(do_not_specialize=["n"])
def sum_kernel(
    a, b, partial,
    n: tl.int64, h, k, a_row: tl.int64, a_column: tl.int64, b_row: tl.int64, b_column: tl.int64,
    H: tl.constexpr, K: tl.constexpr, SAMPLES: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """`partial`[program] ← a bᵀ over the samples of the program, a: (h, n), b: (k, n); tiles of
    (H, K) of it by the second and third coordinate of programs."""
    rows, columns = tl.program_id(1) * H + tl.arange(0, H), tl.program_id(2) * K + tl.arange(0, K)
    total = tl.full((H, K), 0.0, partial.dtype.element_ty)
    begin = tl.program_id(0).to(tl.int64) * (SAMPLES * TILES)
    for tile in range(TILES):
        sample = begin + tile * SAMPLES + tl.arange(0, SAMPLES)
        known = sample < n
        left = tl.load(
            a + rows[:, None] * a_row + sample[None] * a_column,
            mask=(rows < h)[:, None] & known[None], other=0.0,
        )  # fmt: skip
        right = tl.load(
            b + columns[None] * b_row + sample[:, None] * b_column,
            mask=(columns < k)[None] & known[:, None], other=0.0,
        )  # fmt: skip
        total = tl.dot(left, right, total, input_precision="ieee", out_dtype=total.dtype)
    there = partial + tl.program_id(0).to(tl.int64) * h * k + rows[:, None] * k + columns[None]
    tl.store(there, total, mask=(rows < h)[:, None] & (columns < k)[None])


@triton.jit(do_not_specialize=["n"])
def gram_kernel(
    partial, linear, inputs, activations, weights, v_linear, v_inner, v_outer, w, u,
    n: tl.int64, p: tl.int64, linear_row: tl.int64, inputs_row: tl.int64,
    activations_row: tl.int64, d, k, h,
    linear_0, linear_1, inner_0, inner_1, outer_0, outer_1, at_linear, at_inner, at_outer,
    LINEAR: tl.constexpr, BLOCK: tl.constexpr, WEIGHTED: tl.constexpr,
    D: tl.constexpr, K: tl.constexpr, J: tl.constexpr, H: tl.constexpr,
    SAMPLES: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """`partial`[program] ← Jᵀ(w(J v)) over the samples of the program, packed, (p,).

    J of a map that is linear in θ, dx = V a with the rows a of `linear`, (k, n), then of a block,
    dT = dx + dU a + U (a' ∘ (dW x + db + W dx)), with the rows (x, 1) of `inputs` and a of
    `activations`; or of one of the two alone. D, K, J: d, k, d + 1, padded. Units of the block are
    taken H at a time; a program sums for H of them, by its second coordinate, and the first of
    these for V. `linear_0`, …: strides of v's matrices, and, with the places `at_linear`, …, of
    those of the result."""
    ft = partial.dtype.element_ty
    i, j, c = tl.arange(0, D), tl.arange(0, K), tl.arange(0, J)
    own = tl.program_id(1) * H + tl.arange(0, H)
    if LINEAR:
        of_linear = tl.full((D, K), 0.0, ft)
    if BLOCK:
        of_inner, of_outer = tl.full((H, J), 0.0, ft), tl.full((D, H), 0.0, ft)
    begin = tl.program_id(0).to(tl.int64) * (SAMPLES * TILES)
    for tile in range(TILES):
        sample = begin + tile * SAMPLES + tl.arange(0, SAMPLES)
        known = sample < n
        before = tl.full((D, SAMPLES), 0.0, ft)
        if LINEAR:
            rows = tl.load(
                linear + j[:, None] * linear_row + sample[None],
                mask=(j < k)[:, None] & known[None], other=0.0,
            )  # fmt: skip
            v_l = tl.load(
                v_linear + i[:, None] * linear_0 + j[None] * linear_1,
                mask=(i < d)[:, None] & (j < k)[None], other=0.0,
            )  # fmt: skip
            before = tl.dot(v_l, rows, before, input_precision="ieee", out_dtype=ft)
        dx = before
        if BLOCK:
            x = tl.load(
                inputs + c[:, None] * inputs_row + sample[None],
                mask=(c < d + 1)[:, None] & known[None], other=0.0,
            )  # fmt: skip
            for first in range(0, h, H):
                q = first + tl.arange(0, H)
                outer = (i < d)[:, None] & (q < h)[None]
                a = tl.load(
                    activations + q[:, None] * activations_row + sample[None],
                    mask=(q < h)[:, None] & known[None], other=0.0,
                )  # fmt: skip
                v_i = tl.load(
                    v_inner + q[:, None] * inner_0 + c[None] * inner_1,
                    mask=(q < h)[:, None] & (c < d + 1)[None], other=0.0,
                )  # fmt: skip
                ds = tl.dot(v_i, x, input_precision="ieee", out_dtype=ft)
                if LINEAR:
                    in_w = tl.load(
                        w + q[:, None] * d + i[None],
                        mask=(q < h)[:, None] & (i < d)[None], other=0.0,
                    )  # fmt: skip
                    ds = tl.dot(in_w, before, ds, input_precision="ieee", out_dtype=ft)
                v_o = tl.load(
                    v_outer + i[:, None] * outer_0 + q[None] * outer_1, mask=outer, other=0.0
                )
                dx = tl.dot(v_o, a, dx, input_precision="ieee", out_dtype=ft)
                in_u = tl.load(u + i[:, None] * h + q[None], mask=outer, other=0.0)
                dx = tl.dot(in_u, ds * (1 - a * a), dx, input_precision="ieee", out_dtype=ft)
        if WEIGHTED:
            dx = dx * tl.load(weights + sample, mask=known, other=0.0)[None]
        back = dx
        if BLOCK:
            for first in range(0, h, H):
                q = first + tl.arange(0, H)
                mine = first == tl.program_id(1) * H
                if mine or (LINEAR and tl.program_id(1) == 0):
                    a = tl.load(
                        activations + q[:, None] * activations_row + sample[None],
                        mask=(q < h)[:, None] & known[None], other=0.0,
                    )  # fmt: skip
                    u_back = tl.load(
                        u + i[None] * h + q[:, None],
                        mask=(q < h)[:, None] & (i < d)[None], other=0.0,
                    )  # fmt: skip
                    g = tl.dot(u_back, dx, input_precision="ieee", out_dtype=ft) * (1 - a * a)
                    if mine:
                        of_outer = tl.dot(
                            dx, tl.trans(a), of_outer, input_precision="ieee", out_dtype=ft
                        )
                        of_inner = tl.dot(
                            g, tl.trans(x), of_inner, input_precision="ieee", out_dtype=ft
                        )
                    if LINEAR:
                        w_back = tl.load(
                            w + q[None] * d + i[:, None],
                            mask=(i < d)[:, None] & (q < h)[None], other=0.0,
                        )  # fmt: skip
                        back = tl.dot(w_back, g, back, input_precision="ieee", out_dtype=ft)
        if LINEAR and tl.program_id(1) == 0:
            of_linear = tl.dot(
                back, tl.trans(rows), of_linear, input_precision="ieee", out_dtype=ft
            )
    there = partial + tl.program_id(0).to(tl.int64) * p
    if LINEAR and tl.program_id(1) == 0:
        tl.store(
            there + at_linear + i[:, None] * linear_0 + j[None] * linear_1,
            of_linear, mask=(i < d)[:, None] & (j < k)[None],
        )  # fmt: skip
    if BLOCK:
        tl.store(
            there + at_inner + own[:, None] * inner_0 + c[None] * inner_1,
            of_inner, mask=(own < h)[:, None] & (c < d + 1)[None],
        )  # fmt: skip
        tl.store(
            there + at_outer + i[:, None] * outer_0 + own[None] * outer_1,
            of_outer, mask=(i < d)[:, None] & (own < h)[None],
        )  # fmt: skip
