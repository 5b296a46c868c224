"""Kernels as functions of tensors on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_TILE = 64  # rows of a tile of a sum over samples, at most
_MOST_ROWS = 16  # of x, and of (x, 1) and a linear map's features before a block: no sums spill
_MOST_FEATURES = 128  # of a linear map alone
_MOST_UNITS = 64  # of a block, whose push every 32 of them repeat
LARGEST_INVERSE = 16  # matrices, beyond which factors take no longer


@dataclass(frozen=True)
class LinearizedBlock:
    """A block at n samples: dT = dx + dU a + U (a' ∘ (dW x + db + W dx)), a' = 1 − a²."""

    inputs: Tensor
    """(x, 1), (d + 1, n)."""
    activations: Tensor
    """a, (h, n)."""
    W: Tensor
    """(h, d)."""
    U: Tensor
    """(d, h)."""


@dataclass(frozen=True)
class LinearizedChain:
    """A map at n samples that is linear in θ, dx = V a, then a block; or one of the two."""

    features: Tensor | None
    """a, (k, n)."""
    block: LinearizedBlock | None

    def fits(self, dimension: int) -> bool:
        """Whether the sums of its product stay in registers."""
        if self.block is None:
            return dimension <= _MOST_ROWS and len(self._features) <= _MOST_FEATURES
        few = self.features is None or len(self.features) <= _MOST_ROWS
        return dimension < _MOST_ROWS and few and len(self.block.activations) <= _MOST_UNITS

    @property
    def _features(self) -> Tensor:
        assert self.features is not None
        return self.features


def uniforms(
    begin: int, count: int, coordinates: int, seed: int, purpose: int, step: int,
    device: torch.device,
) -> Tensor:  # fmt: skip
    """Those of `parallel.philox.uniforms` for `count` samples from number `begin` on, (count,
    coordinates) in float64, in one kernel and without a word from the host."""
    from . import random_numbers

    out = torch.empty(count, coordinates, dtype=torch.float64, device=device)
    pairs = (coordinates + 1) // 2
    grid = (-(-count * pairs // random_numbers.BLOCK),)
    random_numbers.uniform_kernel[grid](
        out, begin, count, pairs, coordinates, seed & 0xFFFFFFFF, seed >> 32, purpose, step,
        BLOCK=random_numbers.BLOCK,
    )  # fmt: skip
    return out


def sum_of_products(a: Tensor, b: Tensor, out: Tensor) -> None:
    """`out` ← a bᵀ, summed over the samples, a: (h, n), b: (k, n), in one dtype."""
    from . import products

    (h, n), k = a.shape, len(b)
    programs = -(-n // (products.SAMPLES * products.TILES))
    partial = a.new_empty(programs, h, k)
    H, K = _padded(min(h, _TILE)), _padded(min(k, _TILE))
    products.sum_kernel[(programs, -(-h // H), -(-k // K))](
        a, b, partial, n, h, k, *a.stride(), *b.stride(),
        H=H, K=K, SAMPLES=products.SAMPLES, TILES=products.TILES, num_warps=4, num_stages=1,
    )  # fmt: skip
    torch.sum(partial, 0, out=out)


def inverses(
    matrices: Tensor, most: float, *, wanted: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """A⁻¹, (k, k, n), log|det A| and the sign of det A, (n,) each, of n matrices A, (k, k, n),
    k ≤ 16; A⁻¹ is empty where it is not `wanted`, and no number where A is singular. `most`: of the
    multipliers of an elimination without pivoting."""
    from . import matrices as of_matrices

    k, n = len(matrices), matrices.shape[2]
    found = matrices.new_empty((k, k, n) if wanted else (0,))
    log_abs, sign = matrices.new_empty(n), matrices.new_empty(n)
    marked = torch.empty(n, dtype=torch.int8, device=matrices.device)
    K = max(2, 1 << (k - 1).bit_length())
    together = max(1, min(of_matrices.MOST, of_matrices.NUMBERS // (K * K)))
    grid = (-(-n // together),)
    given = matrices, found, log_abs, sign, marked, n, k, *matrices.stride()
    of_tile = {"K": K, "MATRICES": together, "INVERSE": wanted, "num_warps": 1, "num_stages": 1}
    of_matrices.plain_kernel[grid](*given, most, **of_tile)
    of_matrices.pivoting_kernel[grid](*given, **of_tile)
    return found, log_abs, sign


def gram(
    chain: LinearizedChain, direction: Sequence[Tensor], packed: Tensor, grads: Sequence[Tensor],
    weights: Tensor | None,
) -> None:  # fmt: skip
    """`packed` ← Jᵀ(w(J v)), (p,), for v by its matrices `direction`, (V, (dW, db), dU); `grads`:
    those of `packed`, as views. `weights`: w, (n,), or None for 1."""
    from . import products

    block, features = chain.block, chain.features
    # What a kernel does not read is given as something that is there.
    rows = block.inputs if features is None and block is not None else features
    assert rows is not None
    inner = block or LinearizedBlock(rows, rows, packed, packed)
    v, g = list(direction), list(grads)
    v_linear, g_linear = (v.pop(0), g.pop(0)) if features is not None else (v[0], g[0])
    (v_inner, v_outer), (g_inner, g_outer) = (v, g) if block else ([v_linear] * 2, [g_linear] * 2)
    n, d = rows.shape[1], len(v_linear if features is not None else v_outer)
    units = len(inner.activations) if block else 1
    programs, H = -(-n // (products.SAMPLES * products.TILES)), min(products.UNITS, _padded(units))
    partial = packed.new_empty(programs, len(packed))
    for given, found in ((v_linear, g_linear), (v_inner, g_inner), (v_outer, g_outer)):
        assert given.stride() == found.stride()
    begin = packed.storage_offset()
    places = [each.storage_offset() - begin for each in (g_linear, g_inner, g_outer)]
    products.gram_kernel[(programs, -(-units // H))](
        partial, rows, inner.inputs, inner.activations, rows if weights is None else weights,
        v_linear, v_inner, v_outer, inner.W, inner.U,
        n, len(packed), rows.stride(0), inner.inputs.stride(0), inner.activations.stride(0),
        d, len(rows), units,
        *v_linear.stride(), *v_inner.stride(), *v_outer.stride(), *places,
        LINEAR=features is not None, BLOCK=block is not None, WEIGHTED=weights is not None,
        D=_padded(d), K=_padded(len(rows)), J=_padded(d + 1), H=H,
        SAMPLES=products.SAMPLES, TILES=products.TILES, num_warps=products.WARPS, num_stages=1,
    )  # fmt: skip
    torch.sum(partial, 0, out=packed)


def _padded(rows: int) -> int:
    """A power of two, as tiles have, and at least 16."""
    return max(16, 1 << (rows - 1).bit_length())
