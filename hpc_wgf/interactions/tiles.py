"""All pairs between two sets of particles, in tiles of bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import Kernel

# Entries of a tile: on a CPU a few of them fit a core's cache; a GPU needs many to be busy.
_TILE_CPU, _TILE_GPU = 1 << 17, 1 << 25


def pair_sums(kernel: Kernel, x: Tensor, y: Tensor, *, same: bool, potential: bool) -> Tensor:
    """Σ over y of ∇J(x−y), and of J(x−y) with `potential`: (…, n, d) or (…, n, d + 1).

    x: (…, n, d), y: (…, m, d). `same`: y is x, and no particle acts on itself.
    """
    limit = _TILE_GPU if x.is_cuda else _TILE_CPU
    side = max(16, int(limit**0.5))
    columns = min(side, y.shape[-2])
    rows = max(1, limit // columns)
    centre = x.mean(-2, keepdim=True)  # products of large coordinates would cancel
    x, y = x - centre, y - centre
    parts = []
    for i in range(0, x.shape[-2], rows):
        target = x[..., i : i + rows, :]
        part: Tensor | None = None
        for j in range(0, y.shape[-2], columns):
            skip = i - j if same else None
            tile = _tile(kernel, target, y[..., j : j + columns, :], skip, potential)
            part = tile if part is None else part.add_(tile)
        assert part is not None
        parts.append(part)
    return torch.cat(parts, -2)


def _tile(kernel: Kernel, x: Tensor, y: Tensor, skip: int | None, potential: bool) -> Tensor:
    """One tile; pairs on its diagonal of offset `skip` are left out. So are, of a singular kernel,
    particles that rounding has put in one place: by symmetry they do not push each other."""
    exact = kernel.singular or x.shape[-1] <= 2
    square = _squares_by_differences(x, y) if exact else _squares_by_products(x, y)
    met = square == 0 if kernel.singular else None
    if met is not None:
        square.masked_fill_(met, 1.0)  # any distance at which the kernel is finite
    weight = _without(kernel.weight(square), skip, met)
    if exact:
        columns = [_difference(x, y, k).mul_(weight).sum(-1) for k in range(x.shape[-1])]
        force = torch.stack(columns, -1)
    else:
        force = (x * weight.sum(-1, keepdim=True)).sub_(weight @ y)
    if not potential:
        return force
    value = _without(kernel.value(square), skip, met)
    return torch.cat([force, value.sum(-1, keepdim=True)], -1)


def _without(pairs: Tensor, skip: int | None, met: Tensor | None) -> Tensor:
    if met is not None:
        pairs = pairs.masked_fill_(met, 0.0)
    if skip is not None:
        pairs.diagonal(skip, -2, -1).zero_()
    return pairs


def _difference(x: Tensor, y: Tensor, k: int) -> Tensor:
    """x_k − y_k of all pairs, (…, n, m)."""
    return x[..., :, None, k] - y[..., None, :, k]


def _squares_by_differences(x: Tensor, y: Tensor) -> Tensor:
    """|x − y|² without cancellation: near pairs decide where the kernel is singular."""
    square = _difference(x, y, 0).square_()
    for k in range(1, x.shape[-1]):
        square.add_(_difference(x, y, k).square_())
    return square


def _squares_by_products(x: Tensor, y: Tensor) -> Tensor:
    """|x|² + |y|² − 2 x·y."""
    square = (x @ y.mT).mul_(-2)
    square += (x * x).sum(-1)[..., :, None]
    square += (y * y).sum(-1)[..., None, :]
    return square.clamp_(min=0)
