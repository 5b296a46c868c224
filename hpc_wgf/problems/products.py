"""Which mixtures are products: their coordinates are independent, each a mixture on the line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from .densities import Density, Gaussian, Mixture, components_of
from .line_mixture import LineMixture
from .matrices import diagonal_of

_Form = TypeVar("_Form")
_SAME = 1e-9  # of the span of all numbers, by which equal ones may differ
_WEIGHT = 1e-12  # of a weight of a component, that is a product of weights


class Factor(NamedTuple):
    """One coordinate of a product Σ_k π_k ⊗_j λ_kj = ⊗_j Σ_g w_g λ_g."""

    members: list[int]
    """The number k of one component with λ_kj = λ_g, for every g."""
    weights: Tensor
    """w_g, which add up to 1."""


def factors(tables: Sequence[Tensor], weights: Tensor) -> list[Factor] | None:
    """The coordinates of a mixture, or None if it is not the product of its marginals. `tables`,
    (components, d) each, as of means, tell the parts of every coordinate apart; `weights` are those
    of the components, which add up to 1."""
    d = tables[0].shape[1]
    if d == 1:
        return [Factor(list(range(len(weights))), weights)]
    scales = [_SAME * float((table.amax(0) - table.amin(0)).max()) for table in tables]
    labels = [_labels([table[:, j] for table in tables], scales) for j in range(d)]
    found, expected = [], torch.ones_like(weights)
    for label in labels:
        sums = torch.zeros(int(label.max()) + 1, dtype=weights.dtype)
        sums = sums.index_add(0, label, weights)
        members = [int((label == g).nonzero()[0]) for g in range(len(sums))]
        found.append(Factor(members, sums))
        expected = expected * sums[label]
    cells, cell = torch.unique(torch.stack(labels, 1), dim=0, return_inverse=True)
    joint = torch.zeros(len(cells), dtype=weights.dtype).index_add(0, cell, weights)
    # Where a cell is missing, the weights of the others are greater than the products.
    is_product = bool(((joint[cell] - expected).abs() <= _WEIGHT * expected).all())
    return found if is_product else None


def _labels(numbers: Sequence[Tensor], roundings: Sequence[float]) -> Tensor:
    """0, 1, …, (components,): the same where all `numbers` are, but for `roundings`."""
    ranks = []
    for values, rounding in zip(numbers, roundings, strict=True):
        order = values.argsort()
        apart = values[order].diff() > rounding
        rank = torch.zeros_like(order)
        rank[order[1:]] = apart.cumsum(0)
        ranks.append(rank)
    return torch.unique(torch.stack(ranks, 1), dim=0, return_inverse=True)[1]


def gaussians(
    density: Density, form: Callable[[Tensor, int], _Form | None]
) -> list[tuple[Gaussian, _Form]] | None:
    """The components of a mixture of Gaussians, or the one Gaussian, with the `form` of each
    covariance, as `diagonal_of` has it; None of another density, or if one has no such form."""
    d, parts = density.dimension, components_of(density)
    found = [(part, known) for part in parts if isinstance(part, Gaussian)
             and (known := form(part.covariance, d)) is not None]  # fmt: skip
    return found if len(found) == len(parts) else None


def gaussian_factors(density: Density) -> list[Factor] | None:
    """The independent coordinates of a Gaussian, or of a mixture of Gaussians; None of another
    density, or where coordinates depend on each other."""
    parts = gaussians(density, diagonal_of)
    if parts is None:
        return None
    one = torch.ones(1, dtype=torch.float64)
    if len(parts) == 1:
        return [Factor([0], one)] * density.dimension
    assert isinstance(density, Mixture)
    means = torch.stack([part.mean for part, _ in parts])
    return factors([means, torch.stack([variances for _, variances in parts])], density.weights)


def independent_coordinates(density: Density) -> list[LineMixture] | None:
    """The laws of the coordinates, if these are independent mixtures of Gaussians; else None."""
    found = gaussian_factors(density)
    return None if found is None else lines(density, found)


def lines(density: Density, factors: Sequence[Factor]) -> list[LineMixture]:
    """The laws of the coordinates of a product of Gaussian mixtures with these `factors`."""
    parts = gaussians(density, diagonal_of)
    assert parts is not None
    means = torch.stack([part.mean for part, _ in parts], 1)
    deviations = torch.stack([variances for _, variances in parts], 1).sqrt()
    columns = zip(factors, means, deviations, strict=True)
    return [LineMixture(factor.weights, mean[factor.members], deviation[factor.members])
            for factor, mean, deviation in columns]  # fmt: skip


def frame(points: Tensor) -> Tensor:
    """An orthonormal basis, the columns of (d, d), along whose axes `points`, (components, d), form
    a product of sets on the line, if they do so along any: as two points do, or the corners of a
    square.

    Seen from a point of a product, the nearest other one differs in one coordinate. With that
    coordinate left out the rest form a product again."""
    d = points.shape[1]
    arms = points - points[0]
    large = float(arms.norm(dim=1).max())
    axes: list[Tensor] = []
    while len(axes) < d:
        lengths = arms.norm(dim=1)
        away = lengths > math.sqrt(_SAME) * large
        if not bool(away.any()):
            break
        nearest = torch.where(away, lengths, torch.inf).argmin()
        axis = arms[nearest] / lengths[nearest]
        axes.append(axis)
        arms = arms - (arms @ axis)[:, None] * axis
    if not axes:
        return torch.eye(d, dtype=points.dtype)
    given = torch.stack(axes, 1)
    basis, triangle = torch.linalg.qr(given, mode="complete")
    signs = torch.ones(d, dtype=points.dtype)
    signs[: len(axes)] = triangle.diagonal().sign()
    return basis * signs
