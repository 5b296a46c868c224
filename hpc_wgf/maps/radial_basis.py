"""Radial basis functions: T(x) = x + A x + a + Σ_k c_k φ_k(x), each c_k moving what is near μ_k.

    φ_k(x) = exp(−½ |W(x − μ_k)|²)

with centres μ_k spread over the samples that the map is laid out for: farthest points, each of
which is the sample farthest from those before it. So many as fill space are few in up to three
dimensions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from .feature_map import FeatureMap
from .frame import Frame

_LARGEST = 3  # dimensions
_ON_A_LINE = 32  # centres


class RadialBasis(FeatureMap):
    """T(x) = x + A x + a + Σ_k c_k exp(−½ |W(x − μ_k)|²) with K fixed centres μ_k.

    θ = (c, A, a), p = d (K + d + 1). The width of the functions is a multiple of the median
    distance of a centre from the nearest other one, in coordinates in which the samples are
    standard.

    Errors: `InputError` for more than three dimensions unless centres are given, for fewer than two
    centres, for centres of another dimension, and for a width that is not positive; in `lay_out`
    for fewer different samples than centres.
    """

    centres: Tensor
    """μ_k, (K, d), in units of x."""
    scaling: Tensor
    """W, (d, d), in 1/x."""

    def __init__(
        self,
        dimension: int,
        count: int | None = None,
        *,
        overlap: float = 2.0,
        centres: Sequence[Sequence[float]] | Tensor | None = None,
        width: float = 1.0,
    ) -> None:
        """`count`: K, by default 32 on the line and twice as many for each further dimension.
        `overlap`: width over the distance of neighbouring centres. `centres`: μ_k,
        (K, d), in place of those that the samples tell; all functions then have the `width` σ, in
        units of x: W = I/σ."""
        given = None if centres is None else torch.as_tensor(centres, dtype=torch.float64)
        count = default_count(dimension) if count is None else count
        _check(dimension, count, overlap, given, width)
        super().__init__(dimension, count if given is None else len(given))
        self._overlap = overlap if given is None else None
        unit = torch.eye(dimension, dtype=torch.float64)
        # In double precision, until the map is given that of a run.
        self.register_buffer("centres", unit.new_zeros(self.c.shape[1] - dimension - 1, dimension))
        self.register_buffer("scaling", unit / width)
        if given is None:
            self.lay_out(Frame.unit(dimension))
        else:
            self.centres.copy_(given)

    def lay_out(self, frame: Frame) -> None:
        if self._overlap is None:
            return
        standard = _standard(frame)
        points = farthest_points(standard, len(self.centres))
        apart = (points[:, None] - points).norm(dim=2).fill_diagonal_(torch.inf).min(1).values
        factor = frame.factor if frame.factor.ndim == 2 else torch.diag(frame.factor)
        self.centres.copy_(frame.mean + points @ factor.T)
        self.scaling.copy_(torch.linalg.inv(factor) / (self._overlap * apart.median()))

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "rbf",
            "dimension": self.dimension,
            "centres": self.centres.tolist(),
            "scaling": self.scaling.tolist(),
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described, with the same functions to the bit."""
        map = cls(description["dimension"], centres=description["centres"])
        map.scaling.copy_(torch.tensor(description["scaling"], dtype=torch.float64))
        return map

    def values(self, z: Tensor) -> Tensor:
        return torch.exp(-0.5 * self._arms(z).square().sum(1))

    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        """∇φ_k = −φ_k Wᵀ W(x − μ_k)."""
        return -values[:, None] * torch.einsum("de,kdn->ken", self.scaling.to(z), self._arms(z))

    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        """∇²φ_k = φ_k Wᵀ(W(x − μ_k)(x − μ_k)ᵀWᵀ − I)W."""
        scaling, arms = self.scaling.to(z), self._arms(z)
        scaled = torch.einsum("de,ken->kdn", scaling, w)
        along = (arms * scaled).sum(1, keepdim=True)
        return scaling.T @ (values[:, None] * (arms * along - scaled)).sum(0)

    def _arms(self, z: Tensor) -> Tensor:
        """W(x − μ_k), (K, d, n) for z: (d, n). About the centres' mean, so that no digits are lost
        where they lie far from 0."""
        middle = self.centres.mean(0)
        inner = self.scaling.to(z) @ (z - middle.to(z)[:, None])
        return inner - ((self.centres - middle) @ self.scaling.T).to(z)[:, :, None]


def default_count(dimension: int) -> int:
    """K where it is left out."""
    return int(_ON_A_LINE * 2 ** (dimension - 1))


def farthest_points(x: Tensor, count: int) -> Tensor:
    """`count` of the points x, (n, d): the one nearest to their mean, and then always the one that
    is farthest from those taken, of equally far ones the first.

    Errors: `InputError` for fewer different points."""
    chosen = int((x - x.mean(0)).square().sum(1).argmin())
    taken, distance = [chosen], torch.full((len(x),), torch.inf, dtype=x.dtype)
    for number in range(1, count):
        distance = torch.minimum(distance, (x - x[chosen]).square().sum(1))
        chosen = int(distance.argmax())
        if not float(distance[chosen]) > 0:
            raise InputError(
                f"{count} centres are to be different samples, and there are {number} different "
                "ones: take fewer"
            )
        taken.append(chosen)
    return x[taken]


def _standard(frame: Frame) -> Tensor:
    """The points of a frame that lie in its range, in coordinates in which they are standard,
    (n, d)."""
    x = frame.points()
    centred = x - frame.mean
    y = (
        centred / frame.factor
        if frame.factor.ndim == 1
        else torch.linalg.solve_triangular(frame.factor, centred.T, upper=False).T
    )
    within = ((x >= frame.low) & (x <= frame.high)).all(1)
    return y[within] if bool(within.any()) else y


def _check(
    dimension: int, count: int, overlap: float, centres: Tensor | None, width: float
) -> None:
    """Errors: `InputError`."""
    if centres is None and dimension > _LARGEST:
        raise InputError(
            f"radial basis functions fill space in up to {_LARGEST} dimensions, and this has "
            f"{dimension}: take a block, or softmax gates for a potential with several modes"
        )
    for value, name in ((overlap, "overlap"), (width, "width")):
        if not value > 0:
            raise InputError(f"the {name} of radial basis functions must be positive, got {value}")
    if centres is None:
        if count < 2:
            raise InputError(f"radial basis functions need at least two centres, got {count}")
    elif centres.ndim != 2 or centres.shape[1] != dimension or not len(centres):
        raise InputError(
            f"the centres of radial basis functions have shape {tuple(centres.shape)}: expected a "
            f"list of points with {dimension} coordinates each"
        )
