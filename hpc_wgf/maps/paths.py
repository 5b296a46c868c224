"""The paths x' = v(τ, x) of a `BlockVelocity` with log-determinant and score, side by side in rows
of numbers that are integrated: in all coordinates, or without a linear part in those of U.

With v = b + U tanh(W x + w τ + c) a path stays in z plus the span of b and U,
    x = z + τ b + U y,  y' = a = tanh(W z + c + τ (w + W b) + K y),  K = W U,
    s = s₀ − Wᵀq,  q' = a' ∘ (Uᵀs₀ − Kᵀq − 2 g ∘ a),  g = diag K.
Runge–Kutta steps commute with linear changes of coordinates, so that both find the same images, for
width h at O(h²) operations a stage in place of O(h d).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .velocity_networks import BlockVelocity


class Paths(ABC):
    """Paths from samples z, (n, d), with scores there, (n, d), or None."""

    start: Tensor
    """The numbers at τ = 0, a row for each sample."""
    volume: int
    """The column of the log-determinant."""

    @abstractmethod
    def rate(self, time: float, y: Tensor) -> Tensor:
        """The rates of change at τ."""

    @abstractmethod
    def end(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images x(1) and the scores there, from the numbers at τ = 1."""


def paths_from(velocity: BlockVelocity, z: Tensor, score: Tensor | None) -> Paths:
    """The paths from z, in the fewest coordinates."""
    kind = LowRankPaths if velocity.is_narrow() else WholePaths
    return kind(velocity, z, score)


class WholePaths(Paths):
    """(x, ℓ, s)."""

    def __init__(self, velocity: BlockVelocity, z: Tensor, score: Tensor | None) -> None:
        self.velocity, self.volume, self.scored = velocity, z.shape[1], score is not None
        volume = torch.zeros_like(z[:, :1])
        self.start = torch.cat([z, volume] if score is None else [z, volume, score], 1)

    def rate(self, time: float, y: Tensor) -> Tensor:
        x = y[:, : self.volume]
        if not self.scored:
            v, divergence = self.velocity.with_divergence(time, x)
            return torch.cat([v, divergence[:, None]], 1)
        v, divergence, change = self.velocity.with_score(time, x, y[:, self.volume + 1 :])
        return torch.cat([v, divergence[:, None], change], 1)

    def end(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        return y[:, : self.volume], y[:, self.volume + 1 :] if self.scored else None


class LowRankPaths(Paths):
    """(y, ℓ, q) of a velocity without a linear part."""

    def __init__(self, velocity: BlockVelocity, z: Tensor, score: Tensor | None) -> None:
        self.velocity, self.z, self.score = velocity, z, score
        W, U = velocity.W, velocity.U
        self.volume = h = len(W)
        self.begun = torch.addmm(velocity.c, z, W.T)
        self.ahead, self.K = velocity.w + W @ velocity.b, W @ U
        self.gains = self.K.diagonal()
        self.inner = None if score is None else score @ U  # (Uᵀs₀, (n, h))
        self.start = z.new_zeros(len(z), h + 1 if score is None else 2 * h + 1)

    def rate(self, time: float, y: Tensor) -> Tensor:
        h = self.volume
        a = torch.tanh(torch.addmm(self.begun + time * self.ahead, y[:, :h], self.K.T))
        slope = 1 - a * a
        parts = [a, (slope @ self.gains)[:, None]]
        if self.inner is not None:
            pulled = torch.addmm(self.inner - 2 * self.gains * a, y[:, h + 1 :], self.K, alpha=-1)
            parts.append(slope * pulled)
        return torch.cat(parts, 1)

    def end(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        h, velocity = self.volume, self.velocity
        x = torch.addmm(self.z + velocity.b, y[:, :h], velocity.U.T)
        if self.score is None:
            return x, None
        return x, torch.addmm(self.score, y[:, h + 1 :], velocity.W, alpha=-1)
