"""What hidden units of a map have in common with each other and with its layers on outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .block_gram import Block
from .layer_roles import Roles
from .layered_gram import UnitGroup
from .subsample import Subsample, axes_fit
from .syrk import times_own_transpose

_TOGETHER = 1 << 24  # numbers of moments that are summed at a time, 128 MiB


@dataclass(frozen=True)
class UnitMoments:
    """Means of what hidden units have in common with each other and with the features."""

    sample: Subsample
    roles: Roles
    hidden: Sequence[ParameterLayer]
    """The hidden layers, for their shapes."""
    ways: Sequence[Tensor]
    """û of their units, (d, h)."""
    squares: Sequence[Tensor]
    """E|b|², (h,)."""
    features: int
    """q."""

    def groups(self, blocks: Sequence[Block]) -> list[UnitGroup]:
        """Those of `blocks`, a bounded number of moments at a time; collective."""
        found: list[UnitGroup] = []
        along = _along(self.ways) if blocks else None
        sizes = [len(block.index) * (len(block.index) + self.features) for block in blocks]
        while len(found) < len(blocks):
            first = last = len(found)
            while last == first or sum(sizes[first : last + 1]) <= _TOGETHER:
                last += 1
                if last == len(blocks):
                    break
            assert along is not None
            found += self._groups(blocks[first:last], along)
        return found

    def _groups(self, blocks: Sequence[Block], along: Tensor) -> list[UnitGroup]:
        """`along`: see `_along`."""
        parts = [along @ way for way in self.ways]
        sizes, q = [len(block.index) for block in blocks], self.features
        shapes = [[s, s] for s in sizes] + [[q, s] for s in sizes]
        shapes += [[len(square)] for square in self.squares] * 2

        def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
            outer = chunk[self.roles.outer].sensitivity
            root = outer.square().mean(1).sum(1).sqrt()[:, None].double()
            on_outputs = [chunk[k].input for k in (self.roles.outer, *self.roles.inner)]
            phi = torch.cat(on_outputs, 1).double() * root
            layers = [chunk[k] for k in self.roles.hidden]
            pairs = zip(layers, parts, strict=True)
            beta = [_along_each(layer.sensitivity, part).double() for layer, part in pairs]
            rows = [_rows(block, layers, beta) for block in blocks]
            found = [times_own_transpose(each.T) for each in rows] + [phi.T @ each for each in rows]
            found += [each.square().sum(0) for each in beta]
            found += [layer.sensitivity.double().square().sum((0, 1)) for layer in layers]
            for total, part in zip(totals, found, strict=True):
                total += part

        means = self.sample.means(add, shapes, along=along)
        ends = [len(sizes), len(sizes), len(parts), len(parts)]
        grams, crosses, along_way, along_all = (
            [means.pop(0) for _ in range(number)] for number in ends
        )
        whole = along_all if len(along) == along.shape[1] else self.squares
        tiny = torch.finfo(torch.float64).tiny
        # What of b is not along û, which E|b|² over E[β²] tells.
        excess = [
            (square / mean.clamp(min=tiny)).clamp(min=1.0)
            for square, mean in zip(whole, along_way, strict=True)
        ]
        each = zip(blocks, grams, crosses, strict=True)
        return [self._group(block, gram, cross, excess) for block, gram, cross in each]

    def _group(
        self, block: Block, gram: Tensor, cross: Tensor, excess: Sequence[Tensor]
    ) -> UnitGroup:
        """`gram`: E[ββ'aa'ᵀ] of its units, (s, s)."""
        pairs = list(zip(block.units, self.hidden, strict=True))
        lengths = [layer.index.shape[1] for own, layer in pairs for _ in own]
        unit = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).to(gram.device)
        way = torch.cat([w[:, own] for w, own in zip(self.ways, block.units, strict=True)], 1)
        way = way.double()
        kappa = way.T @ way
        more = [each[own] for each, own in zip(excess, block.units, strict=True)]
        kappa.diagonal().mul_(torch.cat(more))
        return UnitGroup(block.index, unit, way, gram * kappa[unit][:, unit], cross)


def _along(ways: Sequence[Tensor]) -> Tensor:
    """Orthonormal directions, (number, d), in whose span all û lie: the axes, or fewer."""
    every = torch.cat(list(ways), 1)
    d, h = every.shape
    if h >= d or axes_fit(d):
        return torch.eye(d, dtype=every.dtype, device=every.device)
    return torch.linalg.qr(every).Q.T


def _along_each(sensitivity: Tensor, part: Tensor) -> Tensor:
    """β = û·b of every unit, (n, h), of û in terms of the same directions, (number, h)."""
    return torch.einsum("neh,eh->nh", sensitivity, part.to(sensitivity))


def _rows(block: Block, layers: Sequence[ParameterLayer], beta: Sequence[Tensor]) -> Tensor:
    """β a of the units of a block, (n, s)."""
    parts = [
        (each[:, own, None] * layer.input.double()[:, None]).flatten(1)
        for own, layer, each in zip(block.units, layers, beta, strict=True)
    ]
    return torch.cat(parts, 1)
