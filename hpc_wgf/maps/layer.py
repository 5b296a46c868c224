"""The layers of a linearised map: where every weight stands in θ, and what it does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ParameterLayer:
    """Parameters W (h, k) that act by s = W a: for directions e of ℝᵈ, eᵀ ∂T/∂W = B_e ⊗ a.

    sensitivity: B = eᵀ ∂T/∂s, (n, number of directions, h). input: a, (n, k). index: (h, k), the
    place of every entry of W in θ.
    """

    sensitivity: Tensor
    input: Tensor
    index: Tensor

    def moved(self, offset: int) -> ParameterLayer:
        """The same layer where `offset` parameters stand before it."""
        return replace(self, index=self.index + offset)

    def double(self) -> ParameterLayer:
        """The same layer in float64."""
        return replace(self, sensitivity=self.sensitivity.double(), input=self.input.double())


def weight_index(h: int, k: int, weights: int, bias: int | None, device: torch.device) -> Tensor:
    """`ParameterLayer.index` of W (h, k) that begins at `weights` in θ, row by row, and of its
    bias (h,) that begins at `bias` and takes the last column, (h, k + 1)."""
    index = weights + torch.arange(h * k, device=device).view(h, k)
    if bias is None:
        return index
    return torch.cat([index, bias + torch.arange(h, device=device)[:, None]], 1)


def samples_first(rows: Tensor) -> Tensor:
    """(k, n) → (n, k), in a tensor of its own."""
    return rows.T.clone(memory_format=torch.contiguous_format)
