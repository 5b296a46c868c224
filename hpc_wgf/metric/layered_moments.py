"""What layers of a map have in common, as moments over a subsample.

The weights W (d, k) of a layer on outputs, ds = dW φ, move T by M dW φ with M = ∇T of the parts
that follow; M = I for the outermost. A hidden unit moves it by b (dw·a), b its sensitivity and a
its input. M and b are described by means here: M by E[M] and E[MᵀM], as if it did not depend on the
features φ; b by one direction û and the numbers β = û·b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .block_gram import Block, blocks_by_output, cut
from .diagonal_blocks import largest_eigenvalue
from .layered_gram import InnerLayer, LayeredGram, UnitGroup
from .subsample import Subsample, layers_at

_LOOKS = 1 << 15  # rows of J that tell the means of M and b, of 256 samples at most
_GROUP = 2048  # parameters of a group of units, as in `choice`
_TOGETHER = 1 << 24  # numbers of moments that are summed at a time, 128 MiB
_MOST = 1 << 27  # numbers of all moments, 1 GiB
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
    groups = _groups(sample, roles, hidden, blocks, looked.ways, found.squares, q)
    weak = [layer.index[~own].reshape(-1) for layer, own in zip(hidden, strong, strict=True)]
    rest = torch.cat([layers[roles.outer].index.new_empty(0), *weak])
    return LayeredGram(
        found.gram, layers[roles.outer].index, found.inner, groups, rest, sample.total
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
            weight = chunk[roles.outer].sensitivity.square().sum((1, 2)).div_(d)
            root = weight.sqrt()[:, None, None]
            off = chunk[roles.outer].sensitivity - root * eye
            totals[-1] += torch.stack([weight.double().sum(), off.square().double().sum()])
            means = [chunk[k].sensitivity for k in (*roles.inner, *roles.hidden)]
            squares = [chunk[k].sensitivity.square() for k in roles.hidden]
            for total, values in zip(totals, [m * root for m in means] + squares, strict=False):
                total += values.double().sum(0)

        few = sample.fewer(max(16, min(256, _LOOKS // d)))
        *found, told = few.means(add, [*shapes, [2]], along=eye)
        weight, off = told.tolist()
        if not off <= 1e-9 * d * weight:
            return None
        found = [each / weight for each in found]
        inner, rest = found[: len(roles.inner)], found[len(roles.inner) :]
        means, energies = rest[: len(widths)], rest[len(widths) :]
        return cls(inner, energies, [_way(*pair) for pair in zip(means, energies, strict=True)])


def _way(mean: Tensor, energy: Tensor) -> Tensor:
    """û of every unit, (d, h): that of E[b], or where b has no one direction, the axis with the most
    of E|b|². `mean`, `energy`: E[b] and E[b²]."""
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
    """E[aaᵀ] of their inputs, (k, k)."""

    @classmethod
    def of(
        cls, sample: Subsample, layers: Sequence[ParameterLayer], roles: Roles, looked: _Looked
    ) -> _Features:
        """Collective."""
        on_outputs = (roles.outer, *roles.inner)
        q = sum(layers[k].index.shape[1] for k in on_outputs)
        d = sample.map.dimension
        sizes = [layers[k].index.shape for k in roles.hidden]
        shapes = [[q, q], *[[d, d]] * len(roles.inner), *([h] for h, _ in sizes)]
        shapes += [[k, k] for _, k in sizes]

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
            inputs = [layer.input.double() * root for layer in hidden]
            for total, part in zip(totals, parts + [a.T @ a for a in inputs], strict=True):
                total += part

        gram, *rest = sample.means(add, shapes, probes=1)
        ends = [len(roles.inner), len(roles.hidden), len(roles.hidden)]
        spread, squares, inputs = (
            [rest.pop(0) for _ in range(number)] for number in ends
        )
        inner = [
            InnerLayer(mean, mean.T @ mean + more, layers[k].index)
            for k, mean, more in zip(roles.inner, looked.inner, spread, strict=True)
        ]
        return cls(gram, inner, squares, inputs)

    def stronger(self, share: float) -> list[Tensor]:
        """Whether units of every hidden layer move the samples by more than a share of ‖Ĝ‖, (h,)."""
        least = share * largest_eigenvalue(self.gram)
        pairs = zip(self.squares, self.inputs, strict=True)
        return [square * largest_eigenvalue(inputs) > least for square, inputs in pairs]


def _groups(
    sample: Subsample, roles: Roles, hidden: Sequence[ParameterLayer], blocks: Sequence[Block],
    ways: Sequence[Tensor], squares: Sequence[Tensor], q: int,
) -> list[UnitGroup]:  # fmt: skip
    """The units by groups, with their moments; collective."""
    groups: list[UnitGroup] = []
    if not blocks:
        return groups
    along = _along(ways)
    parts = [along @ way for way in ways]
    ends = [0, *accumulate(len(block.index) * (len(block.index) + q) for block in blocks)]
    first = 0
    while first < len(blocks):
        last = first + 1
        while last < len(blocks) and ends[last + 1] - ends[first] <= _TOGETHER:
            last += 1
        groups += _some_groups(
            sample, roles, hidden, blocks[first:last], along, parts, ways, squares, q
        )
        first = last
    return groups


def _along(ways: Sequence[Tensor]) -> Tensor:
    """Orthonormal directions, (number, d), in whose span all û lie: the axes, or fewer."""
    every = torch.cat(list(ways), 1)
    d, h = every.shape
    if h >= d or d <= 64:
        return torch.eye(d, dtype=every.dtype, device=every.device)
    return torch.linalg.qr(every).Q.T


def _some_groups(
    sample: Subsample, roles: Roles, hidden: Sequence[ParameterLayer], blocks: Sequence[Block],
    along: Tensor, parts: Sequence[Tensor], ways: Sequence[Tensor], squares: Sequence[Tensor], q: int,
) -> list[UnitGroup]:  # fmt: skip
    """`parts`: û in terms of the directions `along`, (number, h) for every hidden layer."""
    sizes = [len(block.index) for block in blocks]
    shapes = [shape for s in sizes for shape in ([s, s], [q, s])]
    shapes += [[len(square)] for square in squares]

    def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
        root = chunk[roles.outer].sensitivity.double().square().mean(1).sum(1).sqrt()[:, None]
        on_outputs = [chunk[k].input for k in (roles.outer, *roles.inner)]
        phi = torch.cat(on_outputs, 1).double() * root
        at = [chunk[k] for k in roles.hidden]
        betas = [
            torch.einsum("neh,eh->nh", layer.sensitivity, part.to(layer.sensitivity)).double()
            for layer, part in zip(at, parts, strict=True)
        ]
        for block, gram, cross in zip(blocks, totals[::2], totals[1::2], strict=False):
            each = zip(block.units, betas, at, strict=True)
            rows = torch.cat(
                [(beta[:, own, None] * layer.input.double()[:, None]).flatten(1)
                 for own, beta, layer in each], 1,
            )  # fmt: skip
            gram += rows.T @ rows
            cross += phi.T @ rows
        for total, beta in zip(totals[2 * len(blocks) :], betas, strict=True):
            total += beta.square().sum(0)

    found = sample.means(add, shapes, along=along)
    grams, crosses, seen = found[: 2 * len(blocks) : 2], found[1 : 2 * len(blocks) : 2], found[2 * len(blocks) :]
    tiny = torch.finfo(torch.float64).tiny
    excess = [(square / one.clamp(min=tiny)).clamp(min=1.0) for square, one in zip(squares, seen, strict=True)]
    made = []
    for block, gram, cross in zip(blocks, grams, crosses, strict=True):
        way = torch.cat([each[:, own] for each, own in zip(ways, block.units, strict=True)], 1)
        more = torch.cat([each[own] for each, own in zip(excess, block.units, strict=True)])
        inputs = [layer.index.shape[1] for layer in hidden]
        lengths = torch.tensor(
            [k for k, own in zip(inputs, block.units, strict=True) for _ in own], device=gram.device
        )
        unit = torch.arange(len(lengths), device=gram.device).repeat_interleave(lengths)
        way = way.double()
        kappa = way.T @ way
        kappa.diagonal().mul_(more)
        made.append(UnitGroup(block.index, unit, way, gram * kappa[unit][:, unit], cross))
    return made
