"""What layers of a map have in common, as moments over a subsample.

The weights W (d, k) of a layer on outputs, ds = dW φ, move T by M dW φ with M = ∇T of the parts
that follow; M = I for the outermost. A hidden unit moves it by b (dw·a), b its sensitivity and a
its input. M and b are described by means here: M by E[M] and E[MᵀM], as if it did not depend on the
features φ; b by one direction û and the numbers β = û·b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .block_gram import blocks_by_output, cut
from .layer_roles import Roles, roles_of
from .layered_gram import InnerLayer, LayeredGram
from .subsample import Subsample
from .syrk import times_own_transpose
from .unit_moments import UnitMoments

_LOOKS = 1 << 15  # rows of J that tell the means of M and b, of 256 samples at most
_GROUP = 2048  # parameters of a group of units, as in `choice`
_MOST = 1 << 27  # numbers of all moments, 1 GiB
_SAMPLES = 2000  # of the moments of units at least,
_PER_FEATURE = 8  # and so many for each feature, as all outputs share these
_OFF = 1e-4  # of |B|² of the outermost layer, to which it is √w I in either precision
_WEAK = 0.1  # of ε: units that move the samples less are as good as none
_AXES = 0.95  # of E|b|², along one axis for each unit; maps with units in all directions have .8
_ONE_WAY = 0.25  # of E|b|² that E[b] has at least where it gives the direction


def layered_gram(
    sample: Subsample, shift: float, *, unless_on_axes: bool = False
) -> LayeredGram | None:
    """Ĝ of the layers over the subsample of all ranks; None where it does not fit the map, as for
    a matrix of mobility, or would be too large, and with `unless_on_axes` where every unit moves
    one output, so that blocks by outputs are exact. `shift`: ε/‖Ĝ‖ for which it is to serve.
    Collective, decided alike on all ranks."""
    layers = sample.layers
    roles = roles_of(layers)
    if roles is None:
        return None
    looked = _Looked.at(sample, layers, roles)
    if looked is None or (unless_on_axes and looked.share_of_axes >= _AXES):
        return None
    hidden, q = [layers[k] for k in roles.hidden], _features_of(layers)
    strong = looked.stronger(_WEAK * shift)
    blocks = [
        part
        for block in blocks_by_output(hidden, looked.energies)
        for part in cut(block, hidden, strong, _GROUP)
    ]
    if sum(len(block.index) * (len(block.index) + q) for block in blocks) > _MOST:
        return None
    if blocks:
        sample = sample.fewer(max(_SAMPLES, _PER_FEATURE * q))
    gram, inner, squares = _features(sample, layers, roles, looked)
    groups = UnitMoments(sample, roles, hidden, looked.ways, squares, q).groups(blocks)
    outer = layers[roles.outer].index
    weak = [layer.index[~own].reshape(-1) for layer, own in zip(hidden, strong, strict=True)]
    rest = torch.cat([outer.new_empty(0), *weak])
    return LayeredGram(gram, outer, inner, groups, rest, sample.total, sample.communicator)


def wanted_samples(layers: Sequence[ParameterLayer]) -> int:
    """How many samples a subsample should have for the moments of these layers. Those of features
    cost less than a product; with strong units fewer are taken."""
    return 4 * max(_SAMPLES, _PER_FEATURE * _features_of(layers))


def _features_of(layers: Sequence[ParameterLayer]) -> int:
    """q, the features of all layers on outputs."""
    return sum(layer.index.shape[1] for layer in layers if layer.on_outputs)


@dataclass(frozen=True)
class _Looked:
    """Means of M and b at few samples, along all axes."""

    inner: Sequence[Tensor]
    """E[M], (d, d), of the inner layers on outputs."""
    energies: Sequence[Tensor]
    """E[b²] of the hidden layers, (d, h)."""
    ways: Sequence[Tensor]
    """û of their units, (d, h)."""
    inputs: Sequence[float]
    """E|a|² of their inputs."""
    size: float
    """E|φ|² of the features of all layers on outputs."""

    def stronger(self, share: float) -> list[Tensor]:
        """Whether units of every hidden layer move the samples by more than a share of what the
        features do, (h,): whether E|b|²E|a|² is larger than that of E|φ|²."""
        pairs = zip(self.energies, self.inputs, strict=True)
        return [energy.sum(0) * size > share * self.size for energy, size in pairs]

    @property
    def share_of_axes(self) -> float:
        """The part of E|b|² of all units that is along one axis for each; 0 where none moves."""
        whole = sum(float(energy.sum()) for energy in self.energies)
        along = sum(float(energy.amax(0).sum()) for energy in self.energies)
        return along / whole if whole else 0.0

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
            sizes = [chunk[k].input.square().sum(1) for k in roles.hidden]
            phi = [layer.input.square().sum(1) for layer in chunk if layer.on_outputs]
            told = [weight, off, weight * torch.stack(phi).sum(0), *(weight * a for a in sizes)]
            totals[-1] += torch.stack(told, 1).double().sum(0)
            means = [chunk[k].sensitivity for k in (*roles.inner, *roles.hidden)]
            for total, B in zip(totals, means, strict=False):
                total += (root @ B.flatten(1)).view(total.shape).double()
            for total, k in zip(totals[len(means) :], roles.hidden, strict=False):
                total += chunk[k].sensitivity.double().square().sum(0)

        few = sample.fewer(max(16, min(256, _LOOKS // d)))
        *found, told = few.means(add, [*shapes, [3 + len(widths)]], along=eye)
        weight, off, size, *inputs = told.tolist()
        if not abs(off) <= _OFF * d * weight:
            return None
        found = [each / weight for each in found]
        inner, rest = found[: len(roles.inner)], found[len(roles.inner) :]
        means, energies = rest[: len(widths)], rest[len(widths) :]
        ways = [_way(*pair) for pair in zip(means, energies, strict=True)]
        return cls(inner, energies, ways, [a / weight for a in inputs], size / weight)


def _way(mean: Tensor, energy: Tensor) -> Tensor:
    """û of every unit, (d, h): that of E[b], or where b has no one direction, the axis with most of
    E|b|². `mean`, `energy`: E[b] and E[b²]."""
    length = mean.norm(dim=0)
    axis = torch.zeros_like(mean).scatter_(0, energy.argmax(0)[None], 1.0)
    one = length.square() >= _ONE_WAY * energy.sum(0)
    return torch.where(one & (length > 0), mean / length, axis)


def _features(
    sample: Subsample, layers: Sequence[ParameterLayer], roles: Roles, looked: _Looked
) -> tuple[Tensor, list[InnerLayer], list[Tensor]]:
    """E[φφᵀ] of the layers on outputs, the outermost first, (q, q); the inner ones; E|b|² of the
    units of every hidden layer, (h,). Along a random direction at each sample; collective."""
    on_outputs = (roles.outer, *roles.inner)
    q, d = _features_of(layers), sample.map.dimension
    shapes = [[q, q], *[[d, d]] * len(roles.inner)]
    shapes += [[layers[k].index.shape[0]] for k in roles.hidden]

    def add(totals: list[Tensor], chunk: list[ParameterLayer]) -> None:
        probe = chunk[roles.outer].sensitivity[:, 0].double()  # √w s, s ∈ {±1}ᵈ
        phi = torch.cat([chunk[k].input for k in on_outputs], 1).double() * probe[:, :1].abs()
        parts = [times_own_transpose(phi.T)]
        for k, mean in zip(roles.inner, looked.inner, strict=True):
            rest = chunk[k].sensitivity[:, 0].double() - probe @ mean
            parts.append(times_own_transpose(rest.T))
        parts += [chunk[k].sensitivity[:, 0].double().square().sum(0) for k in roles.hidden]
        for total, part in zip(totals, parts, strict=True):
            total += part

    gram, *rest = sample.means(add, shapes, probes=1)
    inner = [
        InnerLayer(mean, spread, layers[k].index)
        for k, mean, spread in zip(roles.inner, looked.inner, rest, strict=False)
    ]
    return gram, inner, rest[len(roles.inner) :]
