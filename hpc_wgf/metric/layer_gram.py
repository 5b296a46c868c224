"""Entries of Ĝ for the parameters of two layers W and W', without forming the rows of J.

With eᵀ ∂T/∂W = B_e ⊗ a and eᵀ ∂T/∂W' = B'_e ⊗ a' at every sample, and sums over samples,
    n Ĝ_{(h,k),(h',k')} = Σ (Σ_e B_eh B'_eh') a_k a'_k',
which is d times cheaper than the product of rows of J, but takes many small products of matrices:
of one or two rows for each sample the one large product is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .syrk import times_own_transpose

_MOST_ROWS = 2  # For so many directions, JᵀJ by rows takes a tenth to a half of the time by pairs.


def gram_of_layers(layers: Sequence[ParameterLayer]) -> Tensor:
    """Σ JᵀJ over the samples of a chunk for the q parameters of all `layers`, (q, q) in float64.

    The parameters are ordered layer by layer, and the weights of a layer row by row.
    """
    layers = [layer.double() for layer in layers]
    if layers[0].sensitivity.shape[1] <= _MOST_ROWS:
        return times_own_transpose(columns_of(layers))
    ends = list(accumulate(layer.index.numel() for layer in layers))
    total = layers[0].input.new_zeros(ends[-1], ends[-1])
    for i, one in enumerate(layers):
        rows = slice(ends[i] - one.index.numel(), ends[i])
        for j, other in enumerate(layers[: i + 1]):
            columns = slice(ends[j] - other.index.numel(), ends[j])
            block = _pair(one, other)
            total[rows, columns] = block
            total[columns, rows] = block.T
    return total


def columns_of(layers: Sequence[ParameterLayer]) -> Tensor:
    """The transposed rows of J by the parameters of all `layers`, (q, n · number of directions)."""
    n, directions = layers[0].sensitivity.shape[:2]
    sizes = [layer.index.numel() for layer in layers]
    columns = layers[0].input.new_empty(sum(sizes), n * directions)
    for part, layer in zip(columns.split(sizes), layers, strict=True):
        # Samples come last: long rows are multiplied faster than many short ones.
        sensitivity = layer.sensitivity.flatten(0, 1).T.contiguous()
        inputs = layer.input.T[:, :, None].expand(-1, -1, directions).flatten(1)
        shape = (len(sensitivity), len(inputs), -1)
        torch.mul(sensitivity[:, None], inputs, out=part.view(shape))
    return columns


def _pair(one: ParameterLayer, other: ParameterLayer) -> Tensor:
    """The entries for two layers, (h k, h' k'), by one product of matrices.

    Of four ways to arrange the sum over samples as a product, the one with the fewest intermediate
    numbers is taken.
    """
    a, c = one.input, other.input
    (n, k), m = a.shape, c.shape[1]
    h, g = one.sensitivity.shape[2], other.sensitivity.shape[2]
    if k == m == 1:
        rows, columns = (one.sensitivity * a[:, None]), (other.sensitivity * c[:, None])
        return rows.flatten(0, 1).T @ columns.flatten(0, 1)
    B = _coupled(one, other)
    if min(k, m) * h * g > h * g + k * m:
        pairs = (a[:, :, None] * c[:, None, :]).view(n, -1)
        block = (B.view(n, -1).T @ pairs).view(h, g, k, m)
        return block.permute(0, 2, 1, 3).reshape(h * k, g * m)
    if k <= m:
        weighted = B[:, :, :, None] * a[:, None, None, :]  # (n, h, g, k)
        block = (weighted.view(n, -1).T @ c).view(h, g, k, m)
        return block.permute(0, 2, 1, 3).reshape(h * k, g * m)
    weighted = B[:, :, :, None] * c[:, None, None, :]  # (n, h, g, m)
    block = (weighted.view(n, -1).T @ a).view(h, g, m, k)
    return block.permute(0, 3, 1, 2).reshape(h * k, g * m)


def _coupled(one: ParameterLayer, other: ParameterLayer) -> Tensor:
    """Σ_e B_eh B'_eg at every sample, (n, h, g)."""
    if one.on_axes:
        return other.sensitivity
    if other.on_axes:
        return one.sensitivity.mT.contiguous()
    return one.sensitivity.mT @ other.sensitivity
