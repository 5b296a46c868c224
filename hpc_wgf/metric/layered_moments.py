"""What layers of a map have in common, as moments over a subsample.

The weights W (d, k) of a layer on outputs, ds = dW φ, move T by M dW φ with M = ∇T of the parts
that follow; M = I for the outermost. A hidden unit moves it by b (dw·a), b its sensitivity and a
its input. M and b are described by means here: M by E[M] and E[MᵀM], as if it did not depend on the
features φ; b by one direction û and the numbers β = û·b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .block_gram import Block, blocks_by_output, cut
from .layered_gram import InnerLayer, LayeredGram, UnitGroup
from .subsample import Subsample, axes_fit, layers_at

_LOOKS = 1 << 15  # rows of J that tell the means of M and b, of 256 samples at most
_GROUP = 2048  # parameters of a group of units, as in `choice`
_TOGETHER = 1 << 24  # numbers of moments that are summed at a time, 128 MiB
_MOST = 1 << 27  # numbers of all moments, 1 GiB
_OFF = 1e-4  # of |B|² of the outermost layer, to which it is √w I in either precision
_WEAK = 0.1  # of ε: units that move the samples less are as good as none
_ONE_WAY = 0.25  # of E|b|² that E[b] has at least where it gives the direction


class Roles(NamedTuple):
    """The layers by number."""

    outer: int
    """The outermost on outputs, whose M is I."""
    inner: Sequence[int]
    """The others on outputs."""
    hidden: Sequence[int]
    """All others."""


def roles_of(layers: Sequence[ParameterLayer]) -> Roles | None:
    """What the layers of a map are; None where none is on the outputs of its last part."""
    outputs = [k for k, layer in enumerate(layers) if layer.on_outputs]
    if not outputs:
        return None
    hidden = [k for k in range(len(layers)) if k not in outputs]
    return Roles(outputs[-1], outputs[:-1], hidden)


def layered_gram(sample: Subsample, shift: float) -> LayeredGram | None:
    """Ĝ of the layers over the subsample of all ranks; None where it does not fit the map, as for
    a matrix of mobility, or would be too large. `shift`: ε/‖Ĝ‖ for which it is to serve.
    Collective, decided alike on all ranks."""
    layers = layers_at(sample.map)
    roles = roles_of(layers)
    if roles is None:
        return None
    looked = _Looked.at(sample, layers, roles)
    if looked is None:
        return None
    hidden = [layers[k] for k in roles.hidden]
    found = _Features.of(sample, layers, roles, looked)
    strong = found.stronger(_WEAK * shift)
    blocks = [
        part
        for block in blocks_by_output(hidden, looked.energies)
        for part in cut(block, hidden, strong, _GROUP)
    ]
    q = len(found.gram)
    if sum(len(block.index) * (len(block.index) + q) for block in blocks) > _MOST:
        return None
    moments = _UnitMoments(sample, roles, hidden, looked.ways, found.squares, q)
    groups = moments.groups(blocks)
    weak = [layer.index[~own].reshape(-1) for layer, own in zip(hidden, strong, strict=True)]
    rest = torch.cat([layers[roles.outer].index.new_empty(0), *weak])
    return LayeredGram(
        found.gram,
        layers[roles.outer].index,
        found.inner,
        groups,
        rest,
        sample.total,
        sample.communicator,
    )


@dataclass(frozen=True)
class _Looked:
    """Means of M and b at few samples, along all axes."""

    inner: Sequence[Tensor]
    """E[M], (d, d), of the inner layers on outputs."""
    energies: Sequence[Tensor]
    """E[b²] of the hidden layers, (d, h)."""
    ways: Sequence[Tensor]
    """û of their units, (d, h)."""

    @classmethod
    def at(
        cls, sample: Subsample, layers: Sequence[ParameterLayer], roles: Roles
    ) -> _Looked | None:
        """None where M of the outermost layer is not I. Collective."""
        d = sample.map.dimension
        eye = torch.eye(d, dtype=layers[0].input.dtype, device=layers[0].input.device)
        widths = [layers[k].index.shape[0] for k in roles.hidden]
        shapes = [[d, d]] * len(roles.inner) + [[d, h] for h in widths] * 2

        def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
            outer = chunk[roles.outer].sensitivity
            square = torch.linalg.vector_norm(outer, dim=(1, 2)).square()
            weight = outer[:, 0].square().sum(1)
            root = weight.sqrt()
            # |B − √w I|², as B is √w I where nothing follows, w the importance weight of a sample.
            off = square + d * weight - 2.0 * root * outer.diagonal(dim1=1, dim2=2).sum(1)
            totals[-1] += torch.stack([weight, off], 1).double().sum(0)
            means = [chunk[k].sensitivity for k in (*roles.inner, *roles.hidden)]
            for total, B in zip(totals, means, strict=False):
                total += (root @ B.flatten(1)).view(total.shape).double()
            for total, k in zip(totals[len(means) :], roles.hidden, strict=False):
                total += chunk[k].sensitivity.double().square().sum(0)

        few = sample.fewer(max(16, min(256, _LOOKS // d)))
        *found, told = few.means(add, [*shapes, [2]], along=eye)
        weight, off = told.tolist()
        if not abs(off) <= _OFF * d * weight:
            return None
        found = [each / weight for each in found]
        inner, rest = found[: len(roles.inner)], found[len(roles.inner) :]
        means, energies = rest[: len(widths)], rest[len(widths) :]
        return cls(inner, energies, [_way(*pair) for pair in zip(means, energies, strict=True)])


def _way(mean: Tensor, energy: Tensor) -> Tensor:
    """û of every unit, (d, h): that of E[b], or where b has no one direction, the axis with most of
    E|b|². `mean`, `energy`: E[b] and E[b²]."""
    length = mean.norm(dim=0)
    axis = torch.zeros_like(mean).scatter_(0, energy.argmax(0)[None], 1.0)
    one = length.square() >= _ONE_WAY * energy.sum(0)
    return torch.where(one & (length > 0), mean / length, axis)


@dataclass(frozen=True)
class _Features:
    """Means over the whole subsample, along a random direction at each sample."""

    gram: Tensor
    """E[φφᵀ] of the layers on outputs, the outermost first, (q, q)."""
    inner: Sequence[InnerLayer]
    """All but the outermost."""
    squares: Sequence[Tensor]
    """E|b|² of the units of every hidden layer, (h,)."""
    inputs: Sequence[Tensor]
    """E|a|² of their inputs, (1,)."""

    @classmethod
    def of(
        cls, sample: Subsample, layers: Sequence[ParameterLayer], roles: Roles, looked: _Looked
    ) -> _Features:
        """Collective."""
        on_outputs = (roles.outer, *roles.inner)
        q = sum(layers[k].index.shape[1] for k in on_outputs)
        d = sample.map.dimension
        widths = [layers[k].index.shape[0] for k in roles.hidden]
        shapes = [[q, q], *[[d, d]] * len(roles.inner), *([h] for h in widths)]
        shapes += [[1]] * len(widths)

        def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
            probe = chunk[roles.outer].sensitivity[:, 0].double()  # √w s, s ∈ {±1}ᵈ
            root = probe[:, :1].abs()
            phi = torch.cat([chunk[k].input for k in on_outputs], 1).double() * root
            parts = [phi.T @ phi]
            for k, mean in zip(roles.inner, looked.inner, strict=True):
                rest = chunk[k].sensitivity[:, 0].double() - probe @ mean
                parts.append(rest.T @ rest)
            hidden = [chunk[k] for k in roles.hidden]
            parts += [layer.sensitivity[:, 0].double().square().sum(0) for layer in hidden]
            parts += [(layer.input.double() * root).square().sum() for layer in hidden]
            for total, part in zip(totals, parts, strict=True):
                total += part

        gram, *rest = sample.means(add, shapes, probes=1)
        ends = [len(roles.inner), len(roles.hidden), len(roles.hidden)]
        spread, squares, inputs = ([rest.pop(0) for _ in range(number)] for number in ends)
        inner = [
            InnerLayer(mean, more, layers[k].index)
            for k, mean, more in zip(roles.inner, looked.inner, spread, strict=True)
        ]
        return cls(gram, inner, squares, inputs)

    def stronger(self, share: float) -> list[Tensor]:
        """Whether units of every hidden layer move the samples by more than a share of what the
        features do, (h,): whether E|b|²E|a|² is larger than that of E|φ|²."""
        least = share * self.gram.diagonal().sum()
        pairs = zip(self.squares, self.inputs, strict=True)
        return [square * size > least for square, size in pairs]


@dataclass(frozen=True)
class _UnitMoments:
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
        shapes += [[len(square)] for square in self.squares]

        def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
            outer = chunk[self.roles.outer].sensitivity
            root = outer.square().mean(1).sum(1).sqrt()[:, None].double()
            on_outputs = [chunk[k].input for k in (self.roles.outer, *self.roles.inner)]
            phi = torch.cat(on_outputs, 1).double() * root
            layers = [chunk[k] for k in self.roles.hidden]
            pairs = zip(layers, parts, strict=True)
            beta = [_along_each(layer.sensitivity, part).double() for layer, part in pairs]
            rows = [_rows(block, layers, beta) for block in blocks]
            found = [each.T @ each for each in rows] + [phi.T @ each for each in rows]
            for total, part in zip(totals, found + [b.square().sum(0) for b in beta], strict=True):
                total += part

        means = self.sample.means(add, shapes, along=along)
        grams, crosses = means[: len(sizes)], means[len(sizes) : 2 * len(sizes)]
        tiny = torch.finfo(torch.float64).tiny
        # What of b is not along û, which E|b|² over E[β²] tells.
        excess = [
            (square / mean.clamp(min=tiny)).clamp(min=1.0)
            for square, mean in zip(self.squares, means[2 * len(sizes) :], strict=True)
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
