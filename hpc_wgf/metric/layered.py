"""The factors L of Ĝ by layers (see `layered_gram`), and their products with vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .diagonal_blocks import BlockCholesky


@dataclass(frozen=True)
class Turned:
    """M of an inner layer where it differs from I."""

    mean: Tensor
    """N = E[M], (d, d)."""
    outer: Tensor
    """Y⁻¹, (d, d)."""
    scale: Tensor
    """One over the roots of the diagonal that is left in the bases X and Y, (d, k)."""


@dataclass(frozen=True)
class Level:
    """An inner layer on outputs, after the outermost has been eliminated.

    With H what of its features the outermost has not, it is H ⊗ NᵀN + G ⊗ (Σ − NᵀN), G = E[zzᵀ],
    N = E[M], Σ = E[MᵀM]: diagonal in bases X of G and H, Y of Σ and NᵀN. Where N and Σ are I, it is
    H ⊗ I, and X the Cholesky factor of H.
    """

    columns: tuple[int, int]
    """Its features among those of all layers."""
    link: Tensor
    """L₀⁻¹ E[φzᵀ], (q₀, k)."""
    inner: Tensor
    """X⁻¹, (k, k)."""
    turned: Turned | None
    """None where N and Σ are I."""
    ways: Tensor
    """Y⁻¹ Nᵀ û of all units, (d, units)."""
    index: Tensor
    """Its places in θ, (d, k)."""

    def scaled(self, t: Tensor) -> Tensor:
        """t, (d, k), over the roots of the diagonal."""
        return t if self.turned is None else t * self.turned.scale

    def lower(self, v: Tensor, y: Tensor) -> Tensor:
        """L⁻¹ v of the layer, (d, k); y: that of the outermost, (d, q₀)."""
        met = y @ self.link
        if self.turned is None:
            return (v[self.index] - met) @ self.inner.T
        own = v[self.index] - self.turned.mean.T @ met
        return (self.turned.outer @ own @ self.inner.T) * self.turned.scale

    def upper(self, t: Tensor, common: Tensor | None) -> Tensor:
        """L⁻ᵀ t of the layer, (d, k). `common`: what all units take of the features, (units, q)."""
        own = t[self.index]
        if common is not None:
            own = own - self.scaled(self.ways @ common[:, slice(*self.columns)])
        own = self.scaled(own)
        return own @ self.inner if self.turned is None else self.turned.outer.T @ own @ self.inner

    def met(self, own: Tensor) -> Tensor:
        """What the outermost layer meets of the weights of this one, (d, k) → (d, q₀)."""
        seen = own if self.turned is None else self.turned.mean @ own
        return seen @ self.link.T


@dataclass(frozen=True)
class Units:
    """Hidden units of equally many inputs k."""

    rows: Tensor
    """Their numbers among all units, (number,)."""
    common: Tensor
    """What they have in common with the layers on outputs, (number, q, k)."""
    index: Tensor
    """Their places in θ, (number, k)."""


@dataclass(frozen=True)
class Layered:
    """M⁻¹ = L⁻ᵀ L⁻¹, L by blocks: the outermost layer, the other layers on outputs, the units."""

    root: Tensor
    """L₀⁻¹ of the outermost layer, (q₀, q₀)."""
    index: Tensor
    """Its places in θ, (d, q₀)."""
    levels: Sequence[Level]
    """The other layers on outputs."""
    ways: Tensor
    """û of all units, (d, units)."""
    units: Sequence[Units]
    """The units."""
    blocks: BlockCholesky | None
    """What is left over of the groups; None without units."""
    weak: Tensor
    """The places in θ of weights that hardly move a sample."""
    root_of_shift: Tensor
    """√ε, 0-d, which is L there."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_lower(v))

    def solve_lower(self, v: Tensor) -> Tensor:
        y = v[self.index] @ self.root.T
        own = [level.lower(v, y) for level in self.levels]
        result = torch.empty_like(v)
        if self.blocks is not None:
            pairs = zip(self.levels, own, strict=True)
            seen = [self.ways.T @ y, *(level.ways.T @ level.scaled(t) for level, t in pairs)]
            common, rest = torch.cat(seen, 1), v.clone()
            for each in self.units:
                rest[each.index] -= (common[each.rows][:, None] @ each.common)[:, 0]
            result = self.blocks.solve_lower(rest)
        result[self.index] = y
        result[self.weak] = v[self.weak] / self.root_of_shift
        for level, t in zip(self.levels, own, strict=True):
            result[level.index] = t
        return result

    def solve_upper(self, v: Tensor) -> Tensor:
        result, y, common = torch.empty_like(v), v[self.index], None
        if self.blocks is not None:
            result = self.blocks.solve_upper(v)
            features = len(self.root) + sum(len(level.inner) for level in self.levels)
            common = v.new_empty(self.ways.shape[1], features)
            for each in self.units:
                common[each.rows] = (result[each.index][:, None] @ each.common.mT)[:, 0]
            y = y - self.ways @ common[:, : len(self.root)]
        for level in self.levels:
            own = level.upper(v, common)
            y = y - level.met(own)
            result[level.index] = own
        result[self.index] = y @ self.root
        result[self.weak] = v[self.weak] / self.root_of_shift
        return result


def in_precision(level: Level, dtype: torch.dtype) -> Level:
    """The same in another precision."""
    turned = level.turned
    if turned is not None:
        turned = Turned(turned.mean.to(dtype), turned.outer.to(dtype), turned.scale.to(dtype))
    return replace(
        level, link=level.link.to(dtype), inner=level.inner.to(dtype), turned=turned,
        ways=level.ways.to(dtype),
    )  # fmt: skip
