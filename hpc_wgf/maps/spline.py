"""Axis splines: T_j(x) = x_j + S_j(x_j), S_j a natural cubic spline, coordinate by coordinate.

S_j = Σ_k c_jk B_k is a sum of cubic B-splines on uniform knots, with the control points
c_{−1} = 2c_0 − c_1 and c_{m+1} = 2c_m − c_{m−1} beyond the ends. These make its second derivative 0
at the first and last knot, and the straight lines that continue it there keep it twice continuously
differentiable; the density of the images is then once, and their score is continuous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace
from .cubic import Place, coefficients, spline_weights
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linear import LinearFeatures
from .linearization import Linearizer

_LEAST = 3  # Knots from which on the splines are more than straight lines.


class AxisSpline(PushForward):
    """T_j(x) = x_j + S_j(x_j) with natural cubic splines S_j on `knots` uniform knots, continued by
    straight lines: the map of flows whose coordinates do not talk to each other.

    θ = c (d, knots), the control points, 0 at the start; p = knots · d. Straight lines are among
    the splines, so that the affine motion of every coordinate is followed exactly.

    Errors: `InputError` for fewer than three knots, or a range that is empty.
    """

    low: Tensor
    """The first knot of every coordinate, (d,), in units of x."""
    width: Tensor
    """The distance of its knots, (d,), in units of x."""

    coordinates_alone = True

    def __init__(
        self,
        dimension: int,
        knots: int = 16,
        *,
        low: float | Sequence[float] | Tensor | None = None,
        high: float | Sequence[float] | Tensor | None = None,
    ) -> None:
        """`low`, `high`: the first and last knots, a number for all coordinates or (d,); by default
        they span the samples that the map is laid out for."""
        super().__init__(dimension)
        if knots < _LEAST:
            raise InputError(f"a spline needs at least {_LEAST} knots, got {knots}")
        self.c = nn.Parameter(torch.zeros(dimension, knots))
        self._given = [
            None if end is None else _end(end, name, dimension)
            for end, name in ((low, "low"), (high, "high"))
        ]
        # In double precision, until the map is given that of a run.
        self.register_buffer("low", torch.zeros(dimension, dtype=torch.float64))
        self.register_buffer("width", torch.ones(dimension, dtype=torch.float64))
        self.lay_out(Frame.unit(dimension))

    @property
    def knots(self) -> int:
        """m + 1, the knots of a coordinate."""
        return self.c.shape[1]

    def lay_out(self, frame: Frame) -> None:
        low, high = (
            own if given is None else given
            for own, given in zip((frame.low, frame.high), self._given, strict=True)
        )
        if not bool((high > low).all()):
            raise InputError(
                "the last knot of a spline must lie beyond its first, got "
                f"{low.tolist()} and {high.tolist()}"
            )
        self.low.copy_(low)
        self.width.copy_((high - low) / (self.knots - 1))

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "spline",
            "dimension": self.dimension,
            "knots": self.knots,
            "low": self.low.tolist(),
            "width": self.width.tolist(),
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> AxisSpline:
        """The map that `architecture` has described, with the same knots to the bit."""
        map = cls(description["dimension"], description["knots"])
        for name in ("low", "width"):
            getattr(map, name).copy_(torch.tensor(description[name], dtype=torch.float64))
        return map

    def forward(self, z: Tensor) -> Tensor:
        return z + self._splines(z)[0]

    def along_axes(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T_j(z_j), T_j' and T_j'', (n, d) each."""
        value, slope, curvature = self._splines(z)
        return z + value, 1 + slope, curvature

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        value, slope, curvature = self.along_axes(z)
        if score is not None:
            score = (score - curvature / slope) / slope
        return Transported(value, slope.abs().log().sum(1), (slope > 0).all(1), score)

    def _splines(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = self.width.to(z)
        return _splines(self.c, Place.of(z, self.low.to(z), width, self.knots), width)

    def linear_features(self, z: Tensor) -> LinearFeatures:
        (d, knots), width = self.c.shape, self.width.to(z)
        place = Place.of(z, self.low.to(z), width, knots)
        return LinearFeatures(
            _by_control_point(place, _value_weights(place), knots),
            _by_control_point(place, _slope_weights(place) / width, knots)[:, :, None],
            weight_index(d, knots, 0, None, z.device)[:, :, None],
            _roughness(knots, z),
        )

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _SplineLinearizer(self, workspace)


def _end(given: float | Sequence[float] | Tensor, name: str, dimension: int) -> Tensor:
    """The ends of all coordinates, (d,). Errors: `InputError` for another number of them."""
    ends = torch.as_tensor(given, dtype=torch.float64)
    if ends.ndim > 1 or ends.numel() not in (1, dimension):
        raise InputError(
            f"{name} of a spline in dimension {dimension} must be a number or one for each "
            f"coordinate, got {given}"
        )
    return ends.expand(dimension)


def _roughness(knots: int, like: Tensor) -> Tensor:
    """Σ_k (c_{k−1} − 2c_k + c_{k+1})² as a matrix, (knots, knots) in float64."""
    eye = torch.eye(knots, dtype=torch.float64, device=like.device)
    bends = eye[:-2] - 2 * eye[1:-1] + eye[2:]
    return bends.T @ bends


def _extended(c: Tensor) -> Tensor:
    """c_{−1}, …, c_{m+1}, (m + 3, d), of control points (d, m + 1)."""
    ends = 2 * c[:, :1] - c[:, 1:2], 2 * c[:, -1:] - c[:, -2:-1]
    return torch.cat([ends[0], c, ends[1]], 1).T


def _splines(c: Tensor, place: Place, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """S_j and its first two derivatives, (n, d) each, for control points c, (d, knots): its cubic
    polynomials in the place t ∈ [0, 1] between two knots at the distance `width`, (d,), and beyond
    the ends the lines that continue them."""
    a, b, c2, e = coefficients(_extended(c), place)
    t = place.t
    slope = b + t * (2 * c2 + 3 * t * e)
    value = a + t * (b + t * (c2 + t * e)) + place.beyond * slope
    curvature = (2 * c2 + 6 * t * e) * (place.beyond == 0)
    return value, slope / width, curvature / width.square()


def _slope_weights(place: Place) -> Tensor:
    """The weights of the control points first − 1, …, first + 2 in the derivative of the spline
    with respect to t, (4, n, d)."""
    t, s = place.t, 1 - place.t
    return torch.stack([-s * s, t * (3 * t - 4), -s * (3 * s - 4), t * t]) / 2


def _value_weights(place: Place) -> Tensor:
    """Their weights in its value, (4, n, d), beyond the ends on the lines that continue it."""
    return spline_weights(place.t) + place.beyond * _slope_weights(place)


def _by_control_point(place: Place, weights: Tensor, knots: int) -> Tensor:
    """What every control point c_0, …, c_m contributes, (d, knots, n), for weights (4, n, d) of the
    four that are near."""
    n, d = place.first.shape
    extended = weights.new_zeros(d, knots + 2, n)
    number = torch.arange(4, device=weights.device)[:, None, None]
    places = (place.first + number).permute(2, 0, 1)
    extended.scatter_(1, places, weights.permute(2, 0, 1))
    own = extended[:, 1:-1]
    # c_{−1} = 2c_0 − c_1, and likewise at the other end.
    for end, near, far in ((0, 0, 1), (-1, -1, -2)):
        own[:, near].add_(extended[:, end], alpha=2)
        own[:, far].sub_(extended[:, end])
    return own


class _SplineLinearizer(Linearizer):
    """Keeps Φ_jk = B_k(x_j) of every control point and sample, and T_j' of every coordinate; θ is
    packed as c."""

    def __init__(self, map: AxisSpline, workspace: Workspace | None) -> None:
        (d, knots), device = map.c.shape, map.c.device
        self.map, self.c = map, map.c.detach().clone()
        self.low, self.width = map.low.to(self.c), map.width.to(self.c)
        self.index = weight_index(d, knots, 0, None, device)
        super().__init__(
            d,
            self.c,
            rows=d * knots + d,
            shapes=[(d, knots)],
            places=[self.index],
            workspace=workspace,
        )

    def matrices(self, packed: Tensor) -> Matrices:
        return [packed.view(self.shapes[0])]

    def chunk(self, storage: Tensor) -> Chunk:
        return _SplineChunk(self, storage)


class _SplineChunk:
    """dT_j = Σ_k Φ_jk dc_jk + T_j' dz_j."""

    def __init__(self, shared: _SplineLinearizer, storage: Tensor) -> None:
        (d, knots), n = shared.c.shape, storage.shape[1]
        self.shared = shared
        phi, self.slope = storage.split([d * knots, d])
        self.phi = phi.view(d, knots, n)
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)

    def fill(self, z: Tensor) -> Tensor:
        shared, knots = self.shared, self.phi.shape[1]
        place = Place.of(z.T, shared.low, shared.width, knots)
        self.phi.copy_(_by_control_point(place, _value_weights(place), knots))
        self.slope.copy_((1 + _splines(shared.c, place, shared.width)[1]).T)
        return torch.add(z, (shared.c[:, None] @ self.phi)[:, 0], out=self.out)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        dx = self.out
        torch.bmm(direction[0][:, None], self.phi, out=dx[:, None])
        return dx if dz is None else dx.addcmul_(self.slope, dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        torch.bmm(self.phi, u[:, :, None], out=grads[0][:, :, None])
        return torch.mul(self.slope, u, out=self.back) if inputs else None

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """One layer a coordinate, whose inputs are its B-splines."""
        layers = [
            ParameterLayer(directions[:, :, j : j + 1], samples_first(phi), row[None])
            for j, (phi, row) in enumerate(zip(self.phi, self.shared.index, strict=True))
        ]
        return layers, directions * samples_first(self.slope)[:, None]
