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

from ..parallel import Communicator
from .diagonal_blocks import blocks_of, damping, inverse_factors, largest_eigenvalue
from .layered import Layered, Level, Turned, Units, in_precision
from .preconditioner import Preconditioner
from .sharing import shared_over_ranks

_AS_GOOD = 0.05  # of what is left of a layer's features, below which M is taken for I


@dataclass(frozen=True)
class InnerLayer:
    """A layer on outputs that other parts follow, M = ∇T of these."""

    mean: Tensor
    """E[M], (d, d), in float64."""
    spread: Tensor
    """E[MᵀM] − E[M]ᵀE[M], (d, d), in float64."""
    index: Tensor
    """The places of its weights in θ, (d, k)."""

    @property
    def square(self) -> Tensor:
        """E[MᵀM], (d, d)."""
        return self.mean.T @ self.mean + self.spread

    @property
    def departure(self) -> float:
        """How far M is from I, in mean square."""
        eye = torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        return float((self.mean - eye).square().sum() + self.spread.norm())


@dataclass(frozen=True)
class UnitGroup:
    """Hidden units whose weights form one block, s parameters."""

    index: Tensor
    """Their places in θ, (s,)."""
    unit: Tensor
    """The unit of every parameter, by its number in the group, rising, (s,)."""
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
    rows: float
    """m, the samples of the moments."""
    communicator: Communicator
    """The ranks, among which groups are dealt out to be factored."""

    @cached_property
    def norm(self) -> float:
        scale = [torch.ones_like(self.gram[: self.index.shape[1], 0])]
        for layer in self.inner:
            size = largest_eigenvalue(layer.square).sqrt()
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
        """M = L Lᵀ by Cholesky factorisation; see `DiagonalBlocks.shifted`. Collective."""
        outer, q = self.index.shape[1], len(self.gram)
        gram = self.gram.clone()
        gram.diagonal().add_(shift * damping(q, self.rows))
        root = inverse_factors(gram[None, :outer, :outer], 0.0, torch.float64)[0]
        ends = list(accumulate((each.index.shape[1] for each in self.inner), initial=outer))
        levels = [
            self._level(gram, root, layer, (ends[k], ends[k + 1]))
            for k, layer in enumerate(self.inner)
        ]
        starts = list(accumulate((each.ways.shape[1] for each in self.groups), initial=0))
        # What is in common with the features, (q, s), above L⁻¹ of the rest, (s, s).
        parts = shared_over_ranks(
            self.communicator,
            [(q + len(group.index), len(group.index)) for group in self.groups],
            lambda k: torch.cat(self._rest(self.groups[k], root, levels, starts[k], shift)),
        )
        factors = [part[q:].to(dtype) for part in parts]
        indices = [group.index for group in self.groups]
        floor = max(shift, 1e-15 * self.norm)
        return Layered(
            root.to(dtype), self.index, [in_precision(level, dtype) for level in levels],
            self._ways.to(dtype), self._units([part[:q].to(dtype) for part in parts], starts),
            blocks_of(factors, indices) if parts else None, self.weak,
            root.new_tensor(floor).sqrt().to(dtype),
        )  # fmt: skip

    @property
    def _ways(self) -> Tensor:
        none = self.gram.new_empty(len(self.index), 0)
        return torch.cat([none, *(group.ways for group in self.groups)], 1)

    def _level(
        self, gram: Tensor, root: Tensor, layer: InnerLayer, columns: tuple[int, int]
    ) -> Level:
        own = slice(*columns)
        link, whole = root @ gram[: len(root), own], gram[own, own]
        left = whole - link.T @ link
        inner = inverse_factors(left[None], 0.0, torch.float64)[0]
        # The least share of a feature that the outermost layer has not.
        share = 1.0 / largest_eigenvalue(inner @ whole @ inner.T)
        if layer.departure <= _AS_GOOD * float(share):
            return Level(columns, link, inner, None, self._ways, layer.index)
        inner, theta = _common_basis(left, whole)
        outer, mu = _common_basis(layer.mean.T @ layer.mean, layer.square)
        scale = (mu[:, None] * theta + (1.0 - mu)[:, None]).rsqrt()
        ways = outer @ (layer.mean.T @ self._ways)
        return Level(columns, link, inner, Turned(layer.mean, outer, scale), ways, layer.index)

    def _rest(
        self, group: UnitGroup, root: Tensor, levels: Sequence[Level], first: int, shift: float
    ) -> list[Tensor]:
        """What a group has in common with the layers on outputs, (q, s) in pieces, and L⁻¹ of the
        rest of it, (s, s). `first`: the number of its first unit among all."""
        unit, size = group.unit, len(group.unit)
        common = [root @ group.cross[: len(root)]]
        kappa = group.ways.T @ group.ways
        rest = group.gram - kappa[unit][:, unit] * (common[0].T @ common[0])
        for level in levels:
            own = level.inner @ (group.cross[slice(*level.columns)] - level.link.T @ common[0])
            common.append(own)
            ways = level.ways[:, first : first + group.ways.shape[1]]
            if level.turned is None:
                rest -= kappa[unit][:, unit] * (own.T @ own)
                continue
            inverse, counts = level.turned.scale.square(), unit.bincount().tolist()
            pairs = zip(rest.split(counts), own.split(counts, 1), strict=True)
            for k, (rows, mine) in enumerate(pairs):
                weights = (ways * ways[:, k : k + 1]).T @ inverse  # (units, k)
                rows -= mine.T @ (own * weights[unit].T)
        factor = inverse_factors(rest[None], shift * damping(size, self.rows), torch.float64)
        return [*common, factor[0]]

    def _units(self, common: Sequence[Tensor], starts: Sequence[int]) -> list[Units]:
        """The units by the number of their inputs. `starts`: of every group the number of its first
        unit among all."""
        found: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
        for group, start, shared in zip(self.groups, starts, common, strict=False):
            counts = group.unit.bincount().tolist()
            pieces = zip(shared.split(counts, 1), group.index.split(counts), strict=True)
            for k, (part, index) in enumerate(pieces):
                found.setdefault(len(index), []).append((start + k, part, index))
        device = self.gram.device
        return [
            Units(torch.tensor(rows, device=device), torch.stack(parts), torch.stack(indices))
            for rows, parts, indices in (zip(*each, strict=True) for each in found.values())
        ]


def _common_basis(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """X⁻¹ and θ with B = XXᵀ and A = X diag θ Xᵀ, for 0 ≤ A ≤ B; θ rising, in (0, 1]."""
    inverse = inverse_factors(b[None], 0.0, b.dtype)[0]
    values, vectors = torch.linalg.eigh(inverse @ a @ inverse.T)
    return vectors.T @ inverse, values.clamp(torch.finfo(b.dtype).eps, 1.0)
