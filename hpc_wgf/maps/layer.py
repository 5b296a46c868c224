"""The layers of a linearised map: where every weight stands in θ, and how it moves T."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ParameterLayer:
    """eᵀ ∂T/∂W = B_e ⊗ a for directions e of ℝᵈ, of weights W (h, k) that enter T by s = W a."""

    sensitivity: Tensor
    """B_e = eᵀ ∂T/∂s for every sample and direction, (n, number of directions, h)."""
    input: Tensor
    """a for every sample, (n, k)."""
    index: Tensor
    """The place of every entry of W in θ, (h, k)."""
    on_outputs: bool = False
    """Whether s is added to the outputs of a part of the map: B_e is then eᵀ∇T of the parts that
    follow, and eᵀ itself where none does."""
    on_axes: bool = False
    """Whether B = I is known: the directions are the axes, and s is added to T itself."""

    def moved(self, offset: int) -> ParameterLayer:
        """The same layer as a part of a map where `offset` other parameters come before it."""
        return replace(self, index=self.index + offset)

    def double(self) -> ParameterLayer:
        """The same layer in float64."""
        return replace(self, sensitivity=self.sensitivity.double(), input=self.input.double())


def weight_index(h: int, k: int, weights: int, bias: int | None, device: torch.device) -> Tensor:
    """`ParameterLayer.index` of W (h, k), whose entries stand in θ from `weights` on, row by row.

    With `bias`, the place in θ from which on the bias (h,) stands, it is the index of (W, bias),
    (h, k + 1).
    """
    index = weights + torch.arange(h * k, device=device).view(h, k)
    if bias is None:
        return index
    return torch.cat([index, bias + torch.arange(h, device=device)[:, None]], 1)


def samples_first(rows: Tensor) -> Tensor:
    """The transpose, (k, n) → (n, k), as a contiguous copy."""
    return rows.T.clone(memory_format=torch.contiguous_format)


def rows_as_layer(rows: Tensor, index: Tensor) -> ParameterLayer:
    """The layer whose sensitivity is eᵀJ itself, with the input 1, of the derivatives `rows` by
    weights, (n, number of directions, *shape of `index`), of which any may differ."""
    flat = rows.flatten(2)
    return ParameterLayer(flat, torch.ones_like(flat[:, 0, :1]), index.reshape(-1, 1))
