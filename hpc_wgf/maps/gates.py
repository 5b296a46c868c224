"""Gates of centres μ_k with weights w_k: the probabilities that x belongs to the parts of Gaussian
mixtures.

    γ_sk = exp ℓ_sk / Σ_l exp ℓ_sl,   ℓ_sk = r_s (μ_k·x − ½|μ_k|²) + log w_k,

is that of centre μ_k if all parts have the covariance I/r_s and the k-th has the share w_k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn


class Gates(nn.Module):
    """γ_sk of K centres at S rates. Those of a rate add up to 1: the last one is left out."""

    centres: Tensor
    """μ_k, (K, d), in units of x."""
    rates: Tensor
    """r_s, (S,), in 1/x²."""
    log_weights: Tensor
    """log w_k, (K,)."""

    def __init__(self, centres: Tensor, rates: Tensor, log_weights: Tensor) -> None:
        super().__init__()
        # In double precision, until the map is given that of a run.
        self.register_buffer("centres", centres.double().clone())
        self.register_buffer("rates", rates.double().clone())
        self.register_buffer("log_weights", log_weights.double().clone())

    def __len__(self) -> int:
        """S (K − 1), the number of gates."""
        return len(self.rates) * (len(self.centres) - 1)

    def place(self, centres: Tensor, rates: Tensor, log_weights: Tensor) -> None:
        """Other centres, rates and weights, as many as before."""
        self.centres.copy_(centres)
        self.rates.copy_(rates)
        self.log_weights.copy_(log_weights)

    def description(self) -> dict[str, Any]:
        """As plain data."""
        return {name: buffer.tolist() for name, buffer in self.named_buffers()}

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Self:
        """The gates of a `description`, to the bit."""
        return cls(**{
            name: torch.tensor(numbers, dtype=torch.float64)
            for name, numbers in description.items()
        })  # fmt: skip

    def values(self, z: Tensor) -> Tensor:
        """γ_sk, z: (d, n) → (S (K − 1), n)."""
        # About the centres' mean, so that no digits are lost where they lie far from 0.
        middle = self.centres.mean(0)
        centred = (self.centres - middle).to(z)
        logits = centred @ (z - middle.to(z)[:, None]) - 0.5 * centred.square().sum(1, True)
        scaled = self.rates.to(z)[:, None, None] * logits
        gates = torch.softmax(scaled + self.log_weights.to(z)[:, None], 1)
        return gates[:, :-1].flatten(0, 1)

    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        """∇γ_sk = r_s γ_sk (μ_k − μ̄_s), μ̄_s = Σ_k γ_sk μ_k, (S (K − 1), d, n)."""
        gates, mean = self._gates(z, values)
        offsets = self._directions(z)[None, :, :, None] - mean[:, None]
        scaled = self.rates.to(z)[:, None, None] * gates
        return (scaled[:, :, None] * offsets).flatten(0, 1)

    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        """Σ_sk ∇²γ_sk w_sk, (d, n), for w: (S (K − 1), d, n), with

        ∇²γ_sk = r_s² γ_sk [(μ_k − μ̄_s)(μ_k − μ̄_s)ᵀ − Σ_l γ_sl (μ_l − μ̄_s)(μ_l − μ̄_s)ᵀ]."""
        gates, mean = self._gates(z, values)
        along = self._directions(z)
        weighted = gates[:, :, None] * w.view(*gates.shape[:2], *z.shape)
        total = weighted.sum(1)
        # γ_k (μ_k − μ̄)·w_k, less what the covariance of the centres takes of Σ_k γ_k w_k
        own = torch.einsum("kd,skdn->skn", along, weighted) - (mean[:, None] * weighted).sum(2)
        taken = gates * torch.einsum("kd,sdn->skn", along, total)
        pulled = torch.einsum("kd,skn->sdn", along, own - taken)
        by_mean = (mean * total).sum(1, True) - own.sum(1, True)
        squares = self.rates.to(z).square()[:, None, None]
        return (squares * (pulled + mean * by_mean)).sum(0)

    def _directions(self, z: Tensor) -> Tensor:
        """μ_k − μ_K, (K − 1, d)."""
        return (self.centres[:-1] - self.centres[-1]).to(z)

    def _gates(self, z: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """γ_sk, (S, K − 1, n), and μ̄_s − μ_K, (S, d, n)."""
        gates = values.view(len(self.rates), len(self.centres) - 1, z.shape[1])
        return gates, torch.einsum("kd,skn->sdn", self._directions(z), gates)
