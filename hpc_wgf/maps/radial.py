"""Radial map: T(x) = x + g(r)(x − c), r² = (x − c)ᵀA(x − c), with a spline g that ends at R.

g = Σ_j v_j B_j(r) is a sum of cubic B-splines on the uniform knots 0, h, …, (q + 1)h = R, for the
control points v_{−1} = v_1, v_0, …, v_{q−1}, 0, 0, 0. By the first one g is even about r = 0, by
the zeros it ends at R twice continuously differentiable; T is the identity beyond. With a = 1 + g,
e = r∇r = A(x − c) and s = g'/r, which is continuous at r = 0,

    ∇T = aI + s(x − c)eᵀ,   det ∇T = a^{d−1}(a + r²s),
    ∇T^{-T}w = w/a − s/(a(a + r²s)) e (x − c)·w,
    ∇ log det ∇T = [(d − 1)s/a + (2s + g'')/(a + r²s)] e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..kinds import check_number, check_whole
from . import radial_spline
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace, sum_over_samples
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linearization import Linearizer

_LEAST = 2  # Control points from which on all of a spline's ends have their own.
_DEVIATIONS = 4.0  # of the samples along their widest direction, that R lies beyond their mean r

Given = float | Sequence[Any] | Tensor
"""Numbers of a vector or a matrix."""


class RadialFlow(PushForward):
    """T(x) = x + g(r)(x − c), r² = (x − c)ᵀC⁻¹(x − c), with a cubic spline g of `knots` control
    points v on 0 ≤ r ≤ R, and T = x for r ≥ R: the map of flows that are radial about c.

    θ = v (knots,), 0 at the start; p = knots. Layers about several centres, one after another, do
    not interact where their balls r < R are disjoint.

    Errors: `InputError` for fewer than two knots, a radius that is not positive, a covariance that
    is not symmetric positive definite, or numbers that do not fit the dimension.
    """

    centre: Tensor
    """c, (d,), in units of x."""
    whitening: Tensor
    """W with WᵀW = C⁻¹, in 1/x: (d,) for a diagonal matrix, else (d, d)."""
    width: Tensor
    """h, (1,), in units of r."""

    def __init__(
        self,
        dimension: int,
        knots: int = 14,
        *,
        centre: Given | None = None,
        radius: float | None = None,
        covariance: Given | None = None,
    ) -> None:
        """`centre` c: a number for all coordinates or (d,); by default the mean of the samples that
        the map is laid out for. `covariance` C: a number c for c·I, (d,) for a diagonal, or (d, d);
        by default that of the samples or, where a centre is given, I, for which r = |x − c|.
        `radius` R, in units of r; by default it reaches beyond the samples."""
        super().__init__(dimension)
        check_whole(knots, "the knots of a radial map")
        if knots < _LEAST:
            raise InputError(f"a radial map needs at least {_LEAST} knots, got {knots}")
        if radius is not None:
            check_number(radius, "the radius of a radial map")
            if not 0 < radius < torch.inf:
                raise InputError(f"the radius of a radial map must be positive, got {radius}")
        if covariance is None and centre is not None:
            covariance = 1.0
        self.v = nn.Parameter(torch.zeros(knots))
        self._centre = None if centre is None else _vector(centre, dimension)
        self._factor = None if covariance is None else _factor(covariance, dimension)
        self._radius = radius
        # In double precision, until the map is given that of a run.
        for name, size in (("centre", dimension), ("whitening", dimension), ("width", 1)):
            self.register_buffer(name, torch.ones(size, dtype=torch.float64))
        self.lay_out(Frame.unit(dimension))

    @property
    def knots(self) -> int:
        """The number of control points, p."""
        return self.v.shape[0]

    @property
    def radius(self) -> float:
        """R, in units of r."""
        return float(self.width) * (self.knots + 1)

    def lay_out(self, frame: Frame) -> None:
        centre = frame.mean if self._centre is None else self._centre
        whitening = _inverse(frame.factor if self._factor is None else self._factor)
        radius = _reach(frame, centre, whitening) if self._radius is None else self._radius
        self.centre.copy_(centre)
        self.whitening = whitening.to(self.centre)
        self.width.fill_(radius / (self.knots + 1))

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "radial",
            "dimension": self.dimension,
            "knots": self.knots,
            "centre": self.centre.tolist(),
            "whitening": self.whitening.tolist(),
            "width": self.width.tolist(),
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> RadialFlow:
        """The map that `architecture` has described, with the same numbers to the bit."""
        map = cls(description["dimension"], description["knots"])
        for name in ("centre", "whitening", "width"):
            setattr(map, name, torch.tensor(description[name], dtype=torch.float64))
        return map

    def forward(self, z: Tensor) -> Tensor:
        arm = z - self.centre.to(z)
        return z + self.profile(self.distance(z)).value[:, None] * arm

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        arm, whitening = z - self.centre.to(z), self.whitening.to(z)
        white = _times(whitening, arm)
        r = white.norm(dim=1)
        g = self.profile(r)
        across, bend = 1 + g.value, g.slope_over_r
        along = across + r.square() * bend
        log_det = (self.dimension - 1) * across.abs().log() + along.abs().log()
        if score is not None:
            normal = _times(whitening.mT if whitening.ndim == 2 else whitening, white)
            rate = (self.dimension - 1) * bend / across + (2 * bend + g.curvature) / along
            score = score - rate[:, None] * normal
            turned = bend / along * (arm * score).sum(1)
            score = (score - turned[:, None] * normal) / across[:, None]
        positive = (across > 0) & (along > 0)
        return Transported(z + g.value[:, None] * arm, log_det, positive, score)

    def distance(self, x: Tensor) -> Tensor:
        """r of points x, (n, d) → (n,)."""
        return _times(self.whitening.to(x), x - self.centre.to(x)).norm(dim=1)

    def profile(self, r: Tensor) -> radial_spline.Profile:
        """g and its derivatives at r ≥ 0, (n,)."""
        return radial_spline.profile(self.v, self.width.to(r), r)

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _RadialLinearizer(self, workspace)


def overlapping(maps: Sequence[PushForward]) -> tuple[int, int] | None:
    """Places i, j of two radial maps of which the centre of j, another than that of i, lies in the
    ball of i: i moves it away from where j is laid out. None where there are none."""
    radial = [(k, map) for k, map in enumerate(maps) if isinstance(map, RadialFlow)]
    for i, one in radial:
        for j, other in radial:
            apart = other.centre - one.centre
            if bool(apart.any()) and float(_times(one.whitening, apart).norm()) < one.radius:
                return i, j
    return None


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    """M x for every row of x, (n, d), M (d, d) or the diagonal (d,)."""
    return x * matrix if matrix.ndim == 1 else x @ matrix.mT


def _inverse(factor: Tensor) -> Tensor:
    """L⁻¹ of a lower triangular matrix, or of a diagonal, (d,)."""
    if factor.ndim == 1:
        return factor.reciprocal()
    eye = torch.eye(len(factor), dtype=factor.dtype)
    return torch.linalg.solve_triangular(factor, eye, upper=False)


def _reach(frame: Frame, centre: Tensor, whitening: Tensor) -> float:
    """√E r² and four deviations, in units of r, of samples along their widest direction."""
    factor = torch.diag(frame.factor) if frame.factor.ndim == 1 else frame.factor
    spread = _times(whitening, factor.mT)  # rows are columns of WL
    mean = _times(whitening, (frame.mean - centre)[None])
    widest = torch.linalg.matrix_norm(spread, 2)
    return float((mean.square().sum() + spread.square().sum()).sqrt() + _DEVIATIONS * widest)


def _vector(given: Given, dimension: int) -> Tensor:
    value = torch.as_tensor(given, dtype=torch.float64)
    if value.shape not in ((), (dimension,)) or not bool(value.isfinite().all()):
        raise InputError(
            f"the centre of a radial map is {value.tolist()}: give a finite number, or {dimension}"
        )
    return value.expand(dimension)


def _factor(given: Given, dimension: int) -> Tensor:
    """L of C = LLᵀ, (d,) for a diagonal matrix, else (d, d)."""
    value = torch.as_tensor(given, dtype=torch.float64)
    if value.shape not in ((), (dimension,), (dimension, dimension)):
        raise InputError(
            f"the covariance of a radial map has shape {tuple(value.shape)} but the dimension is "
            f"{dimension}: give a number, {dimension} diagonal entries, or a matrix"
        )
    if value.ndim < 2:
        factor, sound = value.expand(dimension).sqrt(), bool((value > 0).all())
    else:
        factor, failed = torch.linalg.cholesky_ex(value)
        sound = not bool(failed) and torch.allclose(value, value.mT)
    if not sound or not bool(factor.isfinite().all()):
        raise InputError(
            "the covariance of a radial map must be finite, symmetric and positive definite, got "
            f"{value.tolist()}"
        )
    return factor


class _RadialLinearizer(Linearizer):
    """Keeps of every sample B_j(r), x − c, A(x − c), 1 + g and g'/r; θ is packed as one row."""

    def __init__(self, map: RadialFlow, workspace: Workspace | None) -> None:
        d, knots = map.dimension, map.knots
        self.v = map.v.detach().clone()
        self.centre = map.centre.to(self.v)
        self.whitening, self.width = map.whitening.to(self.v), map.width.to(self.v)
        self.index = weight_index(1, knots, 0, None, self.v.device)
        super().__init__(
            d,
            self.v,
            rows=knots + 2 * d + 2,
            shapes=[(1, knots)],
            places=[self.index],
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _RadialChunk(self, storage)


class _RadialChunk:
    """dT = (x − c) Σ_j B_j dv_j + a dz + s(x − c) e·dz."""

    def __init__(self, shared: _RadialLinearizer, storage: Tensor) -> None:
        d, n, knots = shared.dimension, storage.shape[1], len(shared.v)
        self.shared = shared
        self.basis, self.arm, self.normal, self.across, self.bend = storage.split(
            [knots, d, d, 1, 1]
        )
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)
        self.product = shared.shared_buffer(0, d, n)
        self.row, self.inner = shared.buffer("row", 1, n), shared.buffer("inner", 1, n)

    def fill(self, z: Tensor) -> Tensor:
        shared = self.shared
        torch.sub(z, shared.centre[:, None], out=self.arm)
        whitening = shared.whitening
        white = _times(whitening, self.arm.T)
        self.normal.copy_(_times(whitening.mT if whitening.ndim == 2 else whitening, white).T)
        r = white.norm(dim=1)
        self.basis.copy_(radial_spline.basis(shared.width, r, len(shared.v)))
        g = radial_spline.profile(shared.v, shared.width, r)
        self.across.copy_(1 + g.value)
        self.bend.copy_(g.slope_over_r)
        return torch.addcmul(z, g.value, self.arm, out=self.out)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        row = torch.mm(direction[0], self.basis, out=self.row)
        if dz is None:
            return torch.mul(self.arm, row, out=self.out)
        torch.mul(self.normal, dz, out=self.product)
        torch.sum(self.product, 0, keepdim=True, out=self.inner)
        row.addcmul_(self.bend, self.inner)
        dx = torch.mul(self.across, dz, out=self.out)
        return dx.addcmul_(self.arm, row)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        torch.mul(self.arm, u, out=self.product)
        torch.sum(self.product, 0, keepdim=True, out=self.row)
        sum_over_samples(self.row, self.basis, grads[0])
        if not inputs:
            return None
        back = torch.mul(self.across, u, out=self.back)
        return back.addcmul_(self.normal, self.row.mul_(self.bend))

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """All of θ as one layer with the inputs B_j(r)."""
        moved = directions @ samples_first(self.arm)[:, :, None]  # (n, directions, 1)
        layer = ParameterLayer(moved, samples_first(self.basis), self.shared.index)
        bend, across = self.bend.T[:, :, None], self.across.T[:, :, None]
        return [layer], across * directions + bend * moved * samples_first(self.normal)[:, None]
