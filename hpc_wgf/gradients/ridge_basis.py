"""Functions φ_k(x) = ψ_k(w_k·(x − m)) of one direction each, for gradients ∇φ_k = ψ_k' w_k.

In coordinates y, in which samples have mean 0 and covariance I, they are the coordinates y_a, the
squares ½(v·y)² and ridges log cosh(s v·y + b): with u = v·y their ψ' and ψ'' are 1 and 0, u and 1,
tanh and 1 − tanh². All products of gradients and of Hessians ∇²φ_k = ψ_k'' w_k w_kᵀ are products of
numbers of a sample and of w_i·w_j.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..maps import Frame

_STEEPEST = 2.0  # s of ridges in random directions, from 1 on
_OVERLAP = 1.0  # s of those on the axes, times their distance
_FARTHEST = 3.0  # deviations from the mean at which ridges bend


@dataclass(frozen=True)
class RidgeBasis:
    """q functions of x ∈ ℝᵈ: coordinates first, then squares, then ridges."""

    mean: Tensor
    """m, (d,) in float64."""
    directions: Tensor
    """w_k, (q, d), in 1/x; of a ridge with its steepness."""
    offsets: Tensor
    """b_k of the ridges, (q,); 0 for the others."""
    linear: int
    """Number of coordinates,"""
    squares: int
    """and of squares."""

    @classmethod
    def of(cls, frame: Frame, count: int) -> Self:
        """`count` functions for samples of the mean and covariance of a frame, or none where they
        are fewer than coordinates and squares of the axes. As many squares as there are symmetric
        matrices where these are at most half of the functions, else those of the axes; half of the
        ridges along the axes."""
        d = len(frame.mean)
        if 2 * d > count:  # not even the squares
            nothing = frame.mean.new_zeros(0)
            return cls(frame.mean, nothing.view(0, d), nothing, 0, 0)
        axes = torch.eye(d, dtype=torch.float64)
        pairs = [axes[a] + axes[b] for a in range(d) for b in range(a)]
        squares = axes
        if pairs and d + len(pairs) <= count // 2:
            squares = torch.cat([axes, torch.stack(pairs) / 2**0.5])
        ridges = max(0, count - d - len(squares))
        per_axis = ridges // (2 * d)
        v, steep, places = (torch.cat(parts) for parts in zip(
            _along_axes(axes, per_axis), _anywhere(d, ridges - per_axis * d), strict=True
        ))  # fmt: skip
        whole = torch.cat([axes, squares, steep[:, None] * v])
        offsets = torch.cat([whole.new_zeros(d + len(squares)), -steep * places])
        return cls(frame.mean, frame.pulled_back(whole), offsets, d, len(squares))

    @property
    def count(self) -> int:
        """q."""
        return len(self.offsets)

    def to(self, like: Tensor) -> RidgeBasis:
        """On the device of a tensor."""
        mean, directions, offsets = (
            each.to(like.device) for each in (self.mean, self.directions, self.offsets)
        )
        return RidgeBasis(mean, directions, offsets, self.linear, self.squares)

    def values(self, x: Tensor) -> Tensor:
        """φ at x, (n, d) in float64: (n, q)."""
        u = torch.addmm(self.offsets, x - self.mean, self.directions.T)
        ridges = self.linear + self.squares
        u[:, self.linear : ridges].square_().mul_(0.5)
        steep = u[:, ridges:].abs()  # log cosh u = |u| + log(1 + e^{−2|u|}) − log 2
        u[:, ridges:] = steep + torch.log1p(torch.exp(-2 * steep)) - math.log(2.0)
        return u

    def derivatives(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """ψ' and ψ'' at x, (n, d) in float64: (n, q) each."""
        first = self.first(x)
        return first, self.second(first)

    def first(self, x: Tensor) -> Tensor:
        """ψ' alone at x, (n, d) in float64: (n, q)."""
        # In place, as these are by far the largest numbers of the estimate.
        first = torch.addmm(self.offsets, x - self.mean, self.directions.T)
        first[:, : self.linear] = 1.0
        first[:, self.linear + self.squares :].tanh_()
        return first

    def second(self, first: Tensor) -> Tensor:
        """ψ'' where ψ' is `first`, (n, q): (n, q)."""
        second = torch.zeros_like(first)
        ridges = self.linear + self.squares
        second[:, self.linear : ridges] = 1.0
        tanh = first[:, ridges:]
        second[:, ridges:].sub_(tanh).mul_(tanh).add_(1.0)
        return second


def _along_axes(axes: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Directions, (k, d), steepnesses and places, (k,), of `count` ridges on each axis, at equal
    distances and as steep as these allow: they follow what a spline of so many knots leaves."""
    places = torch.linspace(-_FARTHEST, _FARTHEST, count, dtype=torch.float64)
    steep = max(1.0, _OVERLAP * (count - 1) / (2 * _FARTHEST))
    return (
        axes.repeat_interleave(count, 0), axes.new_full((len(axes) * count,), steep),
        places.repeat(len(axes)),
    )  # fmt: skip


def _anywhere(d: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same in random directions."""
    random = torch.Generator().manual_seed(d)
    v = torch.randn(count, d, generator=random, dtype=torch.float64)
    spread = torch.rand(2, count, generator=random, dtype=torch.float64)
    steep = 1 + (_STEEPEST - 1) * spread[0]
    return v / v.norm(dim=1, keepdim=True), steep, _FARTHEST * (2 * spread[1] - 1)
