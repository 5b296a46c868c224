"""Ĝ of a map by layers: those on outputs by Kronecker products, hidden units in groups, with what
each group has in common with the layers on outputs.

With φ the features of the outermost layer on outputs, dT = dW φ, and its part of Ĝ is E[φφᵀ] ⊗ I
exactly. An inner layer, dT = M dW z, adds E[zzᵀ] ⊗ E[MᵀM] and E[φzᵀ] ⊗ E[M], a unit of sensitivity
β û and input a the blocks E[β²aaᵀ], E[βφaᵀ] ⊗ û and E[βzaᵀ] ⊗ E[M]ᵀû. Ĝ + εI is factored in this
order, and of what is left over for the units only the diagonal blocks of groups are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from .diagonal_blocks import blocks_of, damping, inverse_factors, largest_eigenvalue
from .layered import Layered, Level, Units
from .preconditioner import Preconditioner


@dataclass(frozen=True)
class InnerLayer:
    """A layer on outputs that other parts follow, M = ∇T of these."""

    mean: Tensor
    """E[M], (d, d), in float64."""
    square: Tensor
    """E[MᵀM], (d, d), in float64."""
    index: Tensor
    """The places of its weights in θ, (d, k)."""


@dataclass(frozen=True)
class UnitGroup:
    """Hidden units whose weights form one block, s parameters."""

    index: Tensor
    """Their places in θ, (s,)."""
    unit: Tensor
    """The unit of every parameter, by its number in the group, (s,)."""
    ways: Tensor
    """û of every unit, (d, units)."""
    gram: Tensor
    """Their block of Ĝ, (s, s)."""
    cross: Tensor
    """E[β φ aᵀ], φ the features of all layers on outputs, (q, s)."""


@dataclass(frozen=True)
class LayeredGram:
    """Ĝ ≈ the blocks of layers on outputs, of groups of units, and those between both."""

    gram: Tensor
    """E[φφᵀ], (q, q), φ the features of all layers on outputs, the outermost first."""
    index: Tensor
    """The places in θ of the weights of the outermost, (d, q₀)."""
    inner: Sequence[InnerLayer]
    """The others."""
    groups: Sequence[UnitGroup]
    """The hidden units."""
    weak: Tensor
    """The places in θ of the weights of all other units, which hardly move a sample."""
    rows: int
    """m, the samples of the moments."""

    @cached_property
    def norm(self) -> float:
        scale = [torch.ones_like(self.gram[: self.index.shape[1], 0])]
        for layer in self.inner:
            size = layer.square.diagonal().mean().sqrt()
            scale.append(size.expand(layer.index.shape[1]))
        root = torch.cat(scale)
        whole = [root[:, None] * self.gram * root, *(group.gram for group in self.groups)]
        return float(torch.stack([largest_eigenvalue(each) for each in whole]).max())

    @property
    def operations(self) -> float:
        """Floating-point operations to find the moments and to factor them, about."""
        q, d = len(self.gram), len(self.index)
        own = sum(layer.index.shape[1] ** 3 + d**3 for layer in self.inner)
        work = 2.0 * self.rows * (q * q + len(self.inner) * d * d) + q**3 + 10.0 * own
        for group in self.groups:
            s = len(group.index)
            work += 2.0 * self.rows * s * (s + q) + 2.0 * s * q * (q + s) + s**3
        return work

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """M = L Lᵀ by Cholesky factorisation; see `DiagonalBlocks.shifted`."""
        outer, q = self.index.shape[1], len(self.gram)
        raised = shift * damping(q, self.rows)
        eye = torch.eye(q, dtype=torch.float64, device=self.gram.device)
        gram = self.gram + raised * eye
        root = inverse_factors(gram[None, :outer, :outer], 0.0, torch.float64)[0]
        levels, first = [], outer
        for layer in self.inner:
            own = (first, first := first + layer.index.shape[1])
            levels.append(self._level(gram, root, layer, own))
        counts = [group.ways.shape[1] for group in self.groups]
        starts = [0, *accumulate(counts)]
        pairs = zip(self.groups, starts, strict=False)
        parts = [self._rest(group, root, levels, k, shift) for group, k in pairs]
        blocks = None
        if parts:
            indices = [group.index for group in self.groups]
            blocks = blocks_of([factor.to(dtype) for _, factor in parts], indices)
        ways = torch.cat([root.new_empty(len(self.index), 0), *(g.ways for g in self.groups)], 1)
        return Layered(
            root.to(dtype), self.index, [level.to(dtype) for level in levels], ways.to(dtype),
            self._units([common.to(dtype) for common, _ in parts], starts), blocks, self.weak,
            root.new_tensor(max(shift, 1e-15 * self.norm)).sqrt().to(dtype),
        )  # fmt: skip

    def _units(self, common: Sequence[Tensor], starts: Sequence[int]) -> list[Units]:
        """The units by the number of their inputs. `starts`: of every group the number of its first
        unit among all."""
        found: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
        for group, start, shared in zip(self.groups, starts, common, strict=False):
            lengths = group.unit.bincount().tolist()
            pieces = zip(shared.split(lengths, 1), group.index.split(lengths), strict=True)
            for k, (part, index) in enumerate(pieces):
                found.setdefault(len(index), []).append((start + k, part, index))
        return [
            Units(
                torch.tensor([row for row, _, _ in each], device=self.gram.device),
                torch.stack([part for _, part, _ in each]),
                torch.stack([index for _, _, index in each]),
            )
            for each in found.values()
        ]

    def _level(
        self, gram: Tensor, root: Tensor, layer: InnerLayer, columns: tuple[int, int]
    ) -> Level:
        own = slice(*columns)
        link = root @ gram[: len(root), own]
        whole = gram[own, own]
        inner, theta = _common_basis(whole - link.T @ link, whole)
        outer, mu = _common_basis(layer.mean.T @ layer.mean, layer.square)
        scale = (mu[:, None] * theta + (1.0 - mu)[:, None]).rsqrt()
        ways = [group.ways for group in self.groups]
        turned = torch.cat([layer.mean[:, :0], *(outer @ (layer.mean.T @ way) for way in ways)], 1)
        return Level(columns, link, layer.mean, inner, outer, scale, turned, layer.index)

    def _rest(
        self, group: UnitGroup, root: Tensor, levels: Sequence[Level], first: int, shift: float
    ) -> tuple[Tensor, Tensor]:
        """What a group has in common with the layers on outputs, (q, s), and L⁻¹ of the rest of it,
        (s, s). `first`: the number of its first unit among all."""
        unit, size = group.unit, len(group.unit)
        common = [root @ group.cross[: len(root)]]
        kappa = group.ways.T @ group.ways
        rest = group.gram - kappa[unit][:, unit] * (common[0].T @ common[0])
        for level in levels:
            own = level.inner @ (group.cross[slice(*level.columns)] - level.link.T @ common[0])
            ways = level.ways[:, first : first + group.ways.shape[1]]
            for k in range(ways.shape[1]):
                weights = (ways * ways[:, k : k + 1]).T @ level.scale.square()
                rest[unit == k] -= own[:, unit == k].T @ (own * weights[unit].T)
            common.append(own)
        factor = inverse_factors(rest[None], shift * damping(size, self.rows), torch.float64)
        return torch.cat(common), factor[0]


def _common_basis(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """X⁻¹ and θ with B = XXᵀ and A = X diag θ Xᵀ, for 0 ≤ A ≤ B; θ rising, in [0, 1]."""
    inverse = inverse_factors(b[None], 0.0, b.dtype)[0]
    values, vectors = torch.linalg.eigh(inverse @ a @ inverse.T)
    return vectors.T @ inverse, values.clamp(0.0, 1.0)
