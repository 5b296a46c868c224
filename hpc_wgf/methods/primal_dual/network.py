"""The network for log h."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class LogRatio(nn.Module):
    """u(y) = R tanh(N(y)/R), N: ℝᵈ → ℝ a network of smooth units (SiLU), 0 at the start.

    |u| < R everywhere, whatever the parameters: where Γ has no samples, nothing else would bound
    it."""

    def __init__(
        self, dimension: int, width: int, depth: int, bound: float, *, seed: int,
        dtype: torch.dtype,
    ) -> None:  # fmt: skip
        """`depth` hidden layers of `width` units; `bound`: R. Parameters depend on the `seed`
        alone."""
        super().__init__()
        self.bound = bound
        sizes = [dimension, *[width] * depth, 1]
        random = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList()
        for inner, outer in pairwise(sizes):
            layer = nn.utils.skip_init(nn.Linear, inner, outer, dtype=torch.float64)
            last = len(self.layers) == depth
            with torch.no_grad():
                spread = 0.0 if last else math.sqrt(2.0 / inner)
                layer.weight.copy_(spread * torch.randn(outer, inner, generator=random).double())
                layer.bias.zero_()
            self.layers.append(layer.to(dtype))

    def forward(self, y: Tensor) -> Tensor:
        """(n, d) → (n,)."""
        for layer in list(self.layers)[:-1]:
            y = nn.functional.silu(layer(y))
        raw = self.layers[-1](y)[:, 0]
        return self.bound * torch.tanh(raw / self.bound)
