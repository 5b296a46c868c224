"""Sums over all pairs between two sets of particles, in tiles of bounded memory.

A pair in d dimensions takes 3 d − 1 operations for |x − y|² by differences, or 2 (d + 2) by a
matrix product, and 2 (d + 1) for the sums of w and w y by another. Every operation of torch reads
and writes a matrix of the tile: some bytes a flop, which a core's cache has to bear. Tiles are as
large as it allows, so that the calls themselves take little.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from .kernels import Kernel
from .softened import Softened
from .user_kernels import NonradialKernel

SummedKernel = Kernel | NonradialKernel
"""The kernels whose sums over pairs are taken here."""

# Number of pairs in a tile, and of its columns at most. On a CPU a few matrices of this size fit
# into a core's cache; a GPU needs large ones to be busy.
_TILE_CPU, _TILE_GPU = 1 << 17, 1 << 25
_COLUMNS_CPU, _COLUMNS_GPU = 1 << 10, 1 << 13

_FEW = 3  # dimensions up to which squares by differences cost no more than by a product
_FAR = 4e-3  # |x − y|² over |x|² from which on a product has thirteen digits of it


def pair_sums(kernel: SummedKernel, x: Tensor, y: Tensor, *, same: bool, potential: bool) -> Tensor:
    """Σ_y ∇J(x−y), (…, n, d), for particles x, (…, n, d), and y, (…, m, d).

    With `potential`, Σ_y J(x−y) is appended as a last column, (…, n, d + 1). If y is x, `same`
    leaves out the pairs of a particle with itself.
    """
    if not (x.numel() and y.numel()):
        return x.new_zeros(*x.shape[:-1], x.shape[-1] + potential)
    tiles = _tiles(kernel, x, y, potential)
    limit, most = (_TILE_GPU, _COLUMNS_GPU) if x.is_cuda else (_TILE_CPU, _COLUMNS_CPU)
    limit //= tiles.matrices
    columns = _even(y.shape[-2], min(most, limit))
    rows = _even(x.shape[-2], max(1, limit // columns))
    parts = []
    for i in range(0, x.shape[-2], rows):
        part: Tensor | None = None
        for j in range(0, y.shape[-2], columns):
            skip = i - j if same else None
            tile = tiles.sums(slice(i, i + rows), slice(j, j + columns), skip)
            part = tile if part is None else part.add_(tile)
        assert part is not None
        parts.append(part)
    return torch.cat(parts, -2)


def _even(total: int, most: int) -> int:
    """The length of the fewest parts of about the same length, of at most `most`."""
    return -(-total // -(-total // most))


class _Tiles(Protocol):
    """The sums of one tile after the other."""

    matrices: int
    """How many numbers are held for a pair, in units of a few."""

    def sums(self, rows: slice, columns: slice, skip: int | None) -> Tensor:
        """The sums for the particles x of these `rows` over the y of these `columns`, without the
        pairs on the diagonal of offset `skip`, (…, rows, d or d + 1)."""
        ...


def _tiles(kernel: SummedKernel, x: Tensor, y: Tensor, potential: bool) -> _Tiles:
    """How the tiles are computed that are the fastest and as exact as the kernel needs them."""
    if isinstance(kernel, NonradialKernel):
        return _ByGradients(kernel, x, y, potential)
    few = x.shape[-1] <= _FEW
    # A softened kernel has its full weight for particles in one place, which feel no force there:
    # x w − w y would leave the rounding of it.
    exact = x.dtype != torch.float64 or isinstance(kernel, Softened)
    if kernel.singular and x.dtype == torch.float64 and not x.is_cuda and x.shape[-1] >= _FEW:
        return _ByEither(kernel, x, y, potential)
    if kernel.singular or (few and exact):
        return _ByDifferences(kernel, x, y, potential)
    return _ByProducts(kernel, x, y, potential, products=not few)


class _ByDifferences:
    """Tiles with full relative accuracy for close pairs, which dominate if the kernel is singular.

    For a singular kernel, pairs at distance 0, to which rounding may have brought two particles,
    are left out, as if their forces on each other averaged to 0 by symmetry."""

    def __init__(self, kernel: Kernel, x: Tensor, y: Tensor, potential: bool) -> None:
        self._kernel, self._potential = kernel, potential
        self._x, self._y = x[..., None], y.mT[..., None, :, :].contiguous()
        # The differences of all coordinates are held at once.
        self.matrices = x.shape[-1] if x.is_cuda else max(1, x.shape[-1] // (2 * _FEW))

    def sums(self, rows: slice, columns: slice, skip: int | None) -> Tensor:
        apart = self._x[..., rows, :, :] - self._y[..., columns]  # (…, rows, d, columns)
        square = apart[..., 0, :].square()
        for k in range(1, apart.shape[-2]):
            square.addcmul_(apart[..., k, :], apart[..., k, :])
        met = self._met(square)
        if met is not None:
            square.masked_fill_(met, 1.0)  # Any distance at which the kernel is finite will do.
        weight = _without(self._kernel.weight(square), skip, met)
        force = _weighted(weight, apart)
        if not self._potential:
            return force
        value = _without(self._kernel.value(square), skip, met)
        return torch.cat([force, value.sum(-1, keepdim=True)], -1)

    def _met(self, square: Tensor) -> Tensor | None:
        """Where a singular kernel meets distance 0. To ask whether it does takes a seventh of the
        time of a mask; on a GPU, the answer would have to be waited for."""
        if not self._kernel.singular or not (square.is_cuda or bool(square.amin() == 0)):
            return None
        return square == 0


def _weighted(weight: Tensor, apart: Tensor) -> Tensor:
    """Σ_y w (x − y), (…, rows, d), of w, (…, rows, columns), and x − y, (…, rows, d, columns)."""
    if weight.is_cuda:  # Batches of products with few rows leave most of a GPU idle.
        return torch.stack([(weight * each).sum(-1) for each in apart.unbind(-2)], -1)
    return (weight[..., None, :] @ apart.mT).squeeze(-2)


class _ByProducts:
    """Tiles of regular kernels by matrix products, Σ_y w (x − y) = x Σ_y w − Σ_y w y for x and y in
    float64 about a common centre, and if `products` is true, which is for many dimensions, also
    |x − y|² = |x|² + |y|² − 2 x·y. The kernel is evaluated, and the result given, in the format of
    x.

    Far from the origin, these would lose digits by cancellation; in single precision |x − y|² would
    be wrong by ε|x|² even about it, which may be more than the square of a kernel's width."""

    matrices = 1

    def __init__(
        self, kernel: Kernel, x: Tensor, y: Tensor, potential: bool, *, products: bool
    ) -> None:
        self._kernel, self._potential, self._dtype = kernel, potential, x.dtype
        self._x, self._y = x, y.mT.contiguous()
        self._products = products
        centre = x.double().mean(-2, keepdim=True)
        self._centred, source = x.double() - centre, (y.double() - centre).mT
        one = source.new_ones(1).expand_as(source[..., :1, :])
        self._sources = torch.cat([source, one], -2)  # (…, d + 1, m): rows of numbers that follow
        if products:
            own = self._centred.square().sum(-1, keepdim=True)
            self._left = torch.cat([self._centred, own, torch.ones_like(own)], -1)
            self._right = torch.cat([-2 * source, one, source.square().sum(-2, keepdim=True)], -2)

    def sums(self, rows: slice, columns: slice, skip: int | None) -> Tensor:
        return self.summed(self.square(rows, columns), rows, columns, skip)

    def summed(self, square: Tensor, rows: slice, columns: slice, skip: int | None) -> Tensor:
        """The sums of pairs at these |x − y|²."""
        weight = _without(self._kernel.weight(square), skip, None).double()
        summed = (self._sources[..., columns] @ weight.mT).mT  # Σ_y w y and Σ_y w
        force = self._centred[..., rows, :] * summed[..., -1:] - summed[..., :-1]
        force = force.to(self._dtype)
        if not self._potential:
            return force
        value = _without(self._kernel.value(square), skip, None)
        return torch.cat([force, value.sum(-1, keepdim=True)], -1)

    @property
    def largest(self) -> float:
        """The largest |x|² or |y|² about the centre."""
        sources = self._sources[..., :-1, :].square().sum(-2)
        return float(torch.maximum(self._centred.square().sum(-1).amax(), sources.amax()))

    def square(self, rows: slice, columns: slice) -> Tensor:
        """|x − y|², (…, rows, columns)."""
        if self._products:
            square = self._left[..., rows, :] @ self._right[..., columns]
            return square.clamp_(min=0).to(self._dtype)
        x, y = self._x[..., rows, :], self._y[..., columns]
        square = (x[..., :1] - y[..., :1, :]).square_()
        for k in range(1, x.shape[-1]):
            apart = x[..., k : k + 1] - y[..., k : k + 1, :]
            square.addcmul_(apart, apart)
        return square


class _ByEither:
    """Tiles of a singular kernel in float64: by matrix products where all pairs are far enough
    apart, and else by differences.

    A force w (x − y) as x w − w y has an error of 2ε|x|/|x − y| of itself, and of ε|x|²/|x − y|²
    where the square is a product, too. Both are at most 1e-13."""

    def __init__(self, kernel: Kernel, x: Tensor, y: Tensor, potential: bool) -> None:
        self._given = kernel, x, y, potential
        # In fewer dimensions some pair of a tile is mostly too close for it.
        self._products = x.shape[-1] >= 2 * _FEW
        self._exact = _ByDifferences(kernel, x, y, potential)
        self.matrices = self._exact.matrices

    @cached_property
    def _fast(self) -> tuple[_ByProducts, float]:
        """Tiles by products, which random batches never ask for, and |x − y|² from which on."""
        fast = _ByProducts(*self._given, products=self._products)
        return fast, (_FAR if self._products else _FAR**2) * fast.largest

    def sums(self, rows: slice, columns: slice, skip: int | None) -> Tensor:
        if skip is None or not rows.start - rows.stop < skip < columns.stop - columns.start:
            fast, far = self._fast
            square = fast.square(rows, columns)
            if bool(square.amin() >= far):
                return fast.summed(square, rows, columns, None)
        return self._exact.sums(rows, columns, skip)


class _ByGradients:
    """Tiles of a kernel that is no function of the distance. Pairs at distance 0 are left out."""

    def __init__(self, kernel: NonradialKernel, x: Tensor, y: Tensor, potential: bool) -> None:
        self._kernel, self._x, self._y, self._potential = kernel, x, y, potential
        self.matrices = x.shape[-1]  # Their differences are formed.

    def sums(self, rows: slice, columns: slice, skip: int | None) -> Tensor:
        apart = self._x[..., rows, None, :] - self._y[..., None, columns, :]
        value, slope = self._kernel.gradient(apart.reshape(-1, apart.shape[-1]))
        met = (apart == 0).all(-1)
        parts = [_without(part.reshape(met.shape), skip, met).sum(-1) for part in slope.unbind(1)]
        if self._potential:
            parts.append(_without(value.reshape(met.shape), skip, met).sum(-1))
        return torch.stack(parts, -1)


def _without(pairs: Tensor, skip: int | None, met: Tensor | None) -> Tensor:
    """`pairs` with 0 for the pairs that are left out."""
    pairs = pairs.contiguous()  # Kernels may return one number, expanded.
    if met is not None:
        pairs = pairs.masked_fill_(met, 0.0)
    if skip is not None:
        pairs.diagonal(skip, -2, -1).zero_()
    return pairs
