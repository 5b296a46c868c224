"""Sums over all pairs between two sets of particles, in tiles of bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import Kernel
from .user_kernels import NonradialKernel

SummedKernel = Kernel | NonradialKernel
"""The kernels whose sums over pairs are taken here."""

# Number of pairs in a tile. On a CPU a few matrices of this size fit into a core's cache; a GPU
# needs large ones to be busy.
_TILE_CPU, _TILE_GPU = 1 << 17, 1 << 25


def pair_sums(kernel: SummedKernel, x: Tensor, y: Tensor, *, same: bool, potential: bool) -> Tensor:
    """Σ_y ∇J(x−y), (…, n, d), for particles x, (…, n, d), and y, (…, m, d).

    With `potential`, Σ_y J(x−y) is appended as a last column, (…, n, d + 1). If y is x, `same`
    leaves out the pairs of a particle with itself.
    """
    limit = _TILE_GPU if x.is_cuda else _TILE_CPU
    if isinstance(kernel, NonradialKernel):
        limit //= x.shape[-1]  # Their differences are formed.
    dtype, side = x.dtype, max(16, int(limit**0.5))
    columns = min(side, y.shape[-2])
    rows = max(1, limit // columns)
    by_products = not (kernel.singular or x.shape[-1] <= 2)
    if by_products:
        # Far from the origin, |x|² + |y|² − 2 x·y would lose digits by cancellation; in single
        # precision it would be wrong by ε|x|² even about it, which may be more than the square of
        # a kernel's width.
        centre = x.double().mean(-2, keepdim=True)
        x, y = x.double() - centre, y.double() - centre
    parts = []
    for i in range(0, x.shape[-2], rows):
        target = x[..., i : i + rows, :]
        part: Tensor | None = None
        for j in range(0, y.shape[-2], columns):
            skip = i - j if same else None
            source = y[..., j : j + columns, :]
            if isinstance(kernel, NonradialKernel):
                tile = _tile_by_gradients(kernel, target, source, skip, potential)
            elif by_products:
                tile = _tile_by_products(kernel, target, source, skip, potential, dtype)
            else:
                tile = _tile_by_differences(kernel, target, source, skip, potential)
            part = tile if part is None else part.add_(tile)
        assert part is not None
        parts.append(part)
    return torch.cat(parts, -2)


def _tile_by_differences(
    kernel: Kernel, x: Tensor, y: Tensor, skip: int | None, potential: bool
) -> Tensor:
    """The sums of one tile, without the pairs on its diagonal of offset `skip`, with full relative
    accuracy for close pairs, which dominate if the kernel is singular.

    For a singular kernel, pairs at distance 0, to which rounding may have brought two particles,
    are left out too, as if their forces on each other averaged to 0 by symmetry."""
    square = _difference(x, y, 0).square_()
    for k in range(1, x.shape[-1]):
        square.add_(_difference(x, y, k).square_())
    met = square == 0 if kernel.singular else None
    if met is not None:
        square.masked_fill_(met, 1.0)  # Any distance at which the kernel is finite will do.
    weight = _without(kernel.weight(square), skip, met)
    columns = [_difference(x, y, k).mul_(weight).sum(-1) for k in range(x.shape[-1])]
    if potential:
        columns.append(_without(kernel.value(square), skip, met).sum(-1))
    return torch.stack(columns, -1)


def _tile_by_products(
    kernel: Kernel, x: Tensor, y: Tensor, skip: int | None, potential: bool, dtype: torch.dtype
) -> Tensor:
    """The same by two matrix products, |x − y|² = |x|² + |y|² − 2 x·y and Σ_y w (x − y) =
    x Σ_y w − Σ_y w y, for x and y in float64 about a common centre. The kernel is evaluated, and
    the result given, in `dtype`."""
    square = (x @ y.mT).mul_(-2)
    square += (x * x).sum(-1)[..., :, None]
    square += (y * y).sum(-1)[..., None, :]
    square = square.clamp_(min=0).to(dtype)
    weight = _without(kernel.weight(square), skip, None).double()
    force = (x * weight.sum(-1, keepdim=True)).sub_(weight @ y).to(dtype)
    if not potential:
        return force
    value = _without(kernel.value(square), skip, None)
    return torch.cat([force, value.sum(-1, keepdim=True)], -1)


def _tile_by_gradients(
    kernel: NonradialKernel, x: Tensor, y: Tensor, skip: int | None, potential: bool
) -> Tensor:
    """The same for a kernel that is no function of the distance. Pairs at distance 0 are left
    out."""
    apart = x[..., :, None, :] - y[..., None, :, :]
    value, slope = kernel.gradient(apart.reshape(-1, apart.shape[-1]))
    met = (apart == 0).all(-1)
    columns = [_without(part.reshape(met.shape), skip, met).sum(-1) for part in slope.unbind(1)]
    if potential:
        columns.append(_without(value.reshape(met.shape), skip, met).sum(-1))
    return torch.stack(columns, -1)


def _without(pairs: Tensor, skip: int | None, met: Tensor | None) -> Tensor:
    """`pairs` with 0 for the pairs that are left out."""
    pairs = pairs.contiguous()  # Kernels may return one number, expanded.
    if met is not None:
        pairs = pairs.masked_fill_(met, 0.0)
    if skip is not None:
        pairs.diagonal(skip, -2, -1).zero_()
    return pairs


def _difference(x: Tensor, y: Tensor, k: int) -> Tensor:
    """x_k − y_k for all pairs, (…, n, m)."""
    return x[..., :, None, k] - y[..., None, :, k]
