"""Maps of circles and boxes onto themselves: T_i(z) = z_i + m_i(z_i) Σ_k c_ik φ_k(z).

The features φ_k have the periods of the domain, and m_i is 1, but for a coordinate between walls a
and b, where m_i = 4(z_i − a)(b − z_i)/(b − a)²: T then commutes with every period, and leaves every
wall where it is. They are

- 1, and z_j for the coordinates j without period and walls;
- cos and sin(2πk z_j/L), k = 1, …, K, of a circle of length L; Chebyshev polynomials of degree
  1, …, K between walls;
- tanh(w·e(z) + b), with fixed random w and b, of e = (cos, sin)(2πz_j/L) of circles and of the
  other coordinates in units of their spread.

With g_i = Σ_k c_ik φ_k, ∇T = I + m ∘ ∇g + diag(m' g).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..domain import Domain
from ..errors import InputError
from . import elimination
from .base import PushForward, Transported, identity_like
from .chunk import Chunk, Matrices, Workspace
from .features import initial_features
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linear import LinearFeatures
from .linearization import Linearizer


class _Jet(NamedTuple):
    """Functions of single coordinates with two derivatives, (k, n) each; `axis` says which."""

    value: Tensor
    slope: Tensor
    curvature: Tensor
    axis: list[int]


class BoundedMap(PushForward):
    """T_i(z) = z_i + m_i(z_i) Σ_k c_ik φ_k(z) on a domain with periods and walls, see the module.

    θ = c (d, q), 0 at the start.

    Errors: `InputError` for no domain or one of another dimension, or sizes below 0.
    """

    W: Tensor
    """w of the tanh features, (width, number of coordinates of e)."""
    b: Tensor
    """Their offsets, (width,)."""
    centre: Tensor
    """The point about which coordinates without period and walls are taken, (d,), in x."""
    scale: Tensor
    """Their unit, (d,), in x."""

    def __init__(
        self, domain: Domain | None, harmonics: int = 8, width: int = 0, *, seed: int = 0
    ) -> None:
        """`harmonics`: K. `width`: number of tanh features, which couple the coordinates. `seed`:
        of their random numbers."""
        if domain is None:
            raise InputError(
                "a bounded map needs a domain: give the problem periods or walls, or take another "
                "map"
            )
        if harmonics < 0 or width < 0:
            raise InputError(
                f"harmonics and width of a bounded map must not be negative, got {harmonics} and "
                f"{width}"
            )
        super().__init__(domain.dimension)
        self.domain, self.harmonics = domain, harmonics
        self._free = [j for j in range(domain.dimension) if j not in domain.bounded]
        W, b = initial_features(width, self.dimension + len(domain.circles), seed=seed)
        count = width + len(self._free) + 1 + harmonics * sum(
            2 if domain.periods[j] else 1 for j in domain.bounded
        )  # fmt: skip
        self.c = nn.Parameter(torch.zeros(self.dimension, count))
        # In double precision, until the map is given that of a run.
        zero = torch.zeros(self.dimension, dtype=torch.float64)
        for name, value in (("W", W), ("b", b), ("centre", zero), ("scale", zero + 1)):
            self.register_buffer(name, value)

    def lay_out(self, frame: Frame) -> None:
        for j in self._free:
            self.centre[j], self.scale[j] = frame.mean[j], frame.deviations[j]

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "bounded",
            "periods": list(self.domain.periods),
            "walls": [list(pair or ()) for pair in self.domain.walls],
            "harmonics": self.harmonics,
            **{name: buffer.tolist() for name, buffer in self.named_buffers()},
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described, with the same features to the bit."""
        periods = description["periods"]
        domain = Domain.of(len(periods), periods, description["walls"])
        map = cls(domain, description["harmonics"], len(description["b"]))
        for name, buffer in map.named_buffers():
            given = torch.tensor(description[name], dtype=torch.float64)
            buffer.copy_(given.reshape(buffer.shape))
        return map

    def forward(self, z: Tensor) -> Tensor:
        return z + (self.multipliers(z.T)[0] * (self.c @ self.values(z.T))).T

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        coordinates = z.T
        values, slopes = self.values(coordinates), self.slopes(coordinates)
        m, dm, ddm = self.multipliers(coordinates)
        g, dg = self.c @ values, torch.einsum("ik,kjn->ijn", self.c, slopes)
        gradient = m[:, None] * dg + torch.diag_embed((dm * g).T).permute(1, 2, 0)
        gradient = gradient + identity_like(z)[:, :, None]
        x = z + (m * g).T
        if score is None:
            return Transported(x, *elimination.volume(gradient), None)
        inverse, log_det, positive = elimination.inverse(gradient)
        # ∂_l log det = Σ_ij (∇T)⁻¹_ji ∂_l(∇T)_ij
        own = inverse.diagonal().T
        bent = torch.einsum("ik,in,jin->kjn", self.c, m, inverse)
        change = self.curvature_times(coordinates, bent)
        change = change + torch.einsum("in,iln->ln", own * dm, dg)
        change = change + dm * torch.einsum("jln,ljn->ln", inverse, dg) + own * ddm * g
        inner = score - change.T
        return Transported(x, log_det, positive, elimination.transposed_times(inverse, inner))

    def multipliers(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """m and its first two derivatives, (d, n) each, for z: (d, n)."""
        m, dm, ddm = torch.ones_like(z), torch.zeros_like(z), torch.zeros_like(z)
        for j, a, b in self.domain.intervals:
            unit = 4 / (b - a) ** 2
            m[j], dm[j] = unit * (z[j] - a) * (b - z[j]), unit * (a + b - 2 * z[j])
            ddm[j] = -2 * unit
        return m, dm, ddm

    def _embedded(self, z: Tensor) -> _Jet:
        """e(z)."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        axis: list[int] = []
        for j in range(self.dimension):
            if length := self.domain.periods[j]:
                parts += _waves(z[j], 2 * math.pi / length)
                axis += [j, j]
                continue
            a, b = self.domain.walls[j] or (None, None)
            centre = self.centre[j].to(z) if a is None or b is None else 0.5 * (a + b)
            scale = self.scale[j].to(z) if a is None or b is None else 0.5 * (b - a)
            value = (z[j] - centre) / scale
            parts.append((value, torch.ones_like(value) / scale, torch.zeros_like(value)))
            axis.append(j)
        return _jet(parts, axis, z)

    def _alone(self, z: Tensor) -> _Jet:
        """The features of single coordinates, and 1."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        axis: list[int] = []
        for j in self.domain.circles:
            rate = 2 * math.pi / self.domain.periods[j]
            for k in range(1, self.harmonics + 1):
                parts += _waves(z[j], k * rate)
                axis += [j, j]
        for j, a, b in self.domain.intervals:
            parts += _chebyshev((2 * z[j] - a - b) / (b - a), 2 / (b - a), self.harmonics)
            axis += [j] * self.harmonics
        one, zero = torch.ones_like(z[0]), torch.zeros_like(z[0])
        for j in self._free:
            scale = self.scale[j].to(z)
            parts.append(((z[j] - self.centre[j].to(z)) / scale, one / scale, zero))
            axis.append(j)
        return _jet([*parts, (one, zero, zero)], [*axis, 0], z)

    def values(self, z: Tensor) -> Tensor:
        """φ_k(z), z: (d, n) → (q, n)."""
        alone = self._alone(z).value
        if not len(self.b):
            return alone
        inner = self.W.to(z) @ self._embedded(z).value + self.b.to(z)[:, None]
        return torch.cat([inner.tanh(), alone])

    def slopes(self, z: Tensor) -> Tensor:
        """∇φ_k(z), (q, d, n)."""
        alone = _spread(self._alone(z), self.dimension)
        if not len(self.b):
            return alone
        e, W = self._embedded(z), self.W.to(z)
        damped = 1 - (W @ e.value + self.b.to(z)[:, None]).tanh().square()
        along = torch.einsum("he,edn->hdn", W, _spread(e, self.dimension))
        return torch.cat([damped[:, None] * along, alone])

    def curvature_times(self, z: Tensor, w: Tensor) -> Tensor:
        """Σ_k ∇²φ_k(z) w_k, (d, n), for w: (q, d, n)."""
        alone, h = self._alone(z), len(self.b)
        own = w[h:][torch.arange(len(alone.axis)), alone.axis]
        total = z.new_zeros(z.shape).index_add(
            0, torch.tensor(alone.axis, device=z.device), alone.curvature * own
        )
        if not h:
            return total
        e, W = self._embedded(z), self.W.to(z)
        a = (W @ e.value + self.b.to(z)[:, None]).tanh()
        damped = 1 - a.square()
        along = torch.einsum("he,edn->hdn", W, _spread(e, self.dimension))
        total = total + (-2 * a * damped * (along * w[:h]).sum(1))[:, None].mul(along).sum(0)
        bends = _spread(e._replace(slope=e.curvature), self.dimension)
        return total + torch.einsum("hn,he,edn,hdn->dn", damped, W, bends, w[:h])

    def linear_features(self, z: Tensor) -> LinearFeatures | None:
        """None between walls in more than one dimension, where coordinates have features of their
        own that depend on all."""
        d = self.dimension
        if self.domain.intervals and d > 1:
            return None
        m, dm, _ = self.multipliers(z.T)
        values, slopes = self.values(z.T), self.slopes(z.T)
        if self.domain.intervals:
            slopes = m * slopes + dm * values[:, None]
            values = m * values
        index = weight_index(d, len(values), 0, None, z.device)
        return LinearFeatures(values[None], slopes[None], index.T[None])

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _BoundedLinearizer(self, workspace)


def _waves(x: Tensor, rate: float) -> list[tuple[Tensor, Tensor, Tensor]]:
    """cos and sin(rate · x) with two derivatives."""
    c, s = torch.cos(rate * x), torch.sin(rate * x)
    square = rate * rate
    return [(c, -rate * s, -square * c), (s, rate * c, -square * s)]


def _chebyshev(u: Tensor, rate: float, degree: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The polynomials of degree 1, …, `degree` of u, and two derivatives by x, du/dx = `rate`."""
    zero = torch.zeros_like(u)
    before, here = (zero + 1, zero, zero), (u, zero + 1, zero)
    found = []
    for _ in range(degree):
        found.append((here[0], rate * here[1], rate**2 * here[2]))
        following = (
            2 * u * here[0] - before[0],
            2 * here[0] + 2 * u * here[1] - before[1],
            4 * here[1] + 2 * u * here[2] - before[2],
        )
        before, here = here, following
    return found


def _jet(parts: list[tuple[Tensor, Tensor, Tensor]], axis: list[int], like: Tensor) -> _Jet:
    if not parts:
        empty = like.new_zeros(0, like.shape[1])
        return _Jet(empty, empty, empty, axis)
    value, slope, curvature = (torch.stack(each) for each in zip(*parts, strict=True))
    return _Jet(value, slope, curvature, axis)


def _spread(jet: _Jet, dimension: int) -> Tensor:
    """The slopes of functions of single coordinates as gradients, (k, d, n)."""
    k, n = jet.slope.shape
    gradients = jet.slope.new_zeros(k, dimension, n)
    gradients[torch.arange(k), jet.axis] = jet.slope
    return gradients


class _BoundedLinearizer(Linearizer):
    """Keeps φ and z of every sample; θ is packed as it is. What products with ∇T need is computed
    anew."""

    def __init__(self, map: BoundedMap, workspace: Workspace | None) -> None:
        self.map, self.c = map, map.c.detach().clone()
        (d, q), device = self.c.shape, self.c.device
        self.places = weight_index(d, q, 0, None, device)
        super().__init__(
            d, self.c, rows=q + 2 * d, shapes=[(d, q)], places=[self.places], workspace=workspace
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _BoundedChunk(self, storage)


class _BoundedChunk:
    """dT = m ∘ (dc φ) + ∇T dz."""

    def __init__(self, shared: _BoundedLinearizer, storage: Tensor) -> None:
        (d, q), n = shared.c.shape, storage.shape[1]
        self.shared = shared
        self.phi, self.m, self.z = storage.split([q, d, d])
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)

    def fill(self, z: Tensor) -> Tensor:
        self.z.copy_(z)
        self.phi.copy_(self.shared.map.values(z))
        self.m.copy_(self.shared.map.multipliers(z)[0])
        return torch.mm(self.shared.c, self.phi, out=self.out).mul_(self.m).add_(z)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        dx = torch.mm(direction[0], self.phi, out=self.out).mul_(self.m)
        if dz is None:
            return dx
        inner = (self._slopes() * dz).sum(1)
        return dx.add_(self.m * (self.shared.c @ inner)).add_(self._stretched(dz))

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        scaled = torch.mul(u, self.m, out=self.back)
        torch.mm(scaled, self.phi.T, out=grads[0])
        if not inputs:
            return None
        back = (self._slopes() * (self.shared.c.T @ scaled)[:, None]).sum(0)
        return back.add_(self._stretched(u))

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        scaled = directions * samples_first(self.m)[:, None]
        layer = ParameterLayer(scaled, samples_first(self.phi), self.shared.places)
        bent = torch.einsum("nek,kjn->nej", scaled @ self.shared.c, self._slopes())
        ones = torch.ones_like(self.m)
        return [layer], bent + directions * samples_first(self._stretched(ones))[:, None]

    def _slopes(self) -> Tensor:
        return self.shared.map.slopes(self.z)

    def _stretched(self, dz: Tensor) -> Tensor:
        """(1 + m' g) ∘ dz."""
        dm = self.shared.map.multipliers(self.z)[1]
        return dz + dm * (self.shared.c @ self.phi) * dz
