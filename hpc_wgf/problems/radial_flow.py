"""The porous medium equation ∂ₜρ = c Δρᵐ from isotropic Gaussians, by the faces of shells.

Faces r_1 < … < r_N carry the masses M_i of the shells between them and move by

    r_i' = dω_d r_i^{d−1} (ρ_iᵐ − ρ_{i+1}ᵐ) / ½(M_i + M_{i+1}),  ρ_i = M_i/(ω_d(r_i^d − r_{i−1}^d)),

with ω_d the volume of the unit ball: −(1/ρ) ∂_r ρᵐ in coordinates of mass. All masses are kept.
One flow, that of N(0, I), serves all: λ = π N(c, σ²I) moves as ρ(x, t) = ρ₀ u((x − c)/σ, s), where
ρ₀ = π(2πσ²)^{−d/2} is its height, s = c ρ₀^{m−1} t/σ², and u = e^{−r²/2} at s = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .densities import Density, Gaussian, Mixture, components_of
from .matrices import multiple_of_identity

_FACES = 200  # for every dimension, but
_FEWEST, _MOST_FACES = 300, 2000
_TAIL = 1e-7  # of the mass of a component beyond the last face
_APART = 1e-6  # of the mass of a component that may lie nearer to another one
_MOST = 50  # dimensions, in which the smallest ball can still be told from 0
_RTOL = 1e-6  # of a step in time, relative to the faces


class StandardFlow:
    """∂ₛu = Δuᵐ from u = e^{−r²/2}, r = |x|, in d dimensions, of which the mass counts as 1; on the
    line also from an interval."""

    def __init__(
        self, dimension: int, m: float, faces: Sequence[float] | np.ndarray, masses: np.ndarray
    ) -> None:
        """`faces`: r_i at s = 0, (N,). `masses`: M_i, (N,), in units of what makes u their density:
        the volume of a ball is (r²/2)^{d/2}/Γ(d/2 + 1)."""
        self.m, self.dimension = m, dimension
        self.start, self.masses = np.asarray(faces, dtype=float), masses
        self._unit = math.exp(-0.5 * dimension * math.log(2) - math.lgamma(0.5 * dimension + 1))
        self._between = 0.5 * (masses + np.append(masses[1:], 0.0))
        self._known: dict[float, np.ndarray] = {0.0: self.start}

    @classmethod
    def gaussian(cls, dimension: int, m: float, count: int | None = None) -> StandardFlow:
        """From the Gaussian, on `count` faces at equal distances: by default so many that the map
        is accurate to about 1e-4 of the displacement."""
        count = count or min(max(_FEWEST, _FACES * dimension), _MOST_FACES)
        last = math.sqrt(scipy.special.chdtri(dimension, _TAIL))
        faces = last * np.arange(1, count + 1) / count
        inner = np.concatenate([[0.0], faces])
        below = np.diff(scipy.special.chdtr(dimension, inner**2))
        above = -np.diff(scipy.special.chdtrc(dimension, inner**2))
        return cls(dimension, m, faces, np.where(inner[1:] ** 2 < dimension, below, above))

    @classmethod
    def interval(cls, m: float, count: int = _FEWEST) -> StandardFlow:
        """From u = 1 on [−1, 1], on `count` faces that are closer to each other near the ends, as
        these set out at infinite speed: the map is accurate to about 1e-5 of the displacement."""
        faces = 1 - np.linspace(1, 0, count + 1)[1:] ** 2
        flow = cls(1, m, faces, np.zeros(count))
        return cls(1, m, faces, flow._unit * np.diff(faces, prepend=0.0))

    def faces(self, s: float) -> np.ndarray:
        """r_i(s), (N,). Every time is reached from s = 0, whichever others have been asked for."""
        if s not in self._known:
            path = scipy.integrate.solve_ivp(
                lambda _, r: self._rate(r), (0.0, s), self.start, "BDF",
                jac=lambda _, r: self._jacobian(r), t_eval=[s], rtol=_RTOL,
                atol=1e-3 * _RTOL * self.start[-1],
            )  # fmt: skip
            found = path.y[:, -1] if path.success else np.full_like(self.start, np.nan)
            self._known[s] = found
        return self._known[s]

    def density(self, faces: np.ndarray) -> np.ndarray:
        """u_i, (N,)."""
        return self.masses / (self._unit * np.diff(faces**self.dimension, prepend=0.0))

    def radius(self, r: np.ndarray, s: float) -> np.ndarray:
        """Where those are at s that were at r at s = 0. Beyond the last face as much farther out as
        it is."""
        moved, start = self.faces(s), self.start
        if not np.isfinite(moved).all():
            return np.full_like(r, np.nan)
        inverse = scipy.interpolate.PchipInterpolator(np.append(0, start), np.append(0, moved))
        return inverse(np.minimum(r, start[-1])) * np.maximum(r / start[-1], 1.0)

    def _rate(self, r: np.ndarray) -> np.ndarray:
        """r_i'; not a number where faces have crossed, at which the step is made shorter."""
        if r[0] <= 0 or bool((np.diff(r) <= 0).any()):
            return np.full_like(r, np.nan)
        pressure = self.density(r) ** self.m
        return self._area(r) * -np.diff(pressure, append=0.0) / self._between

    def _area(self, r: np.ndarray) -> np.ndarray:
        return self._unit * self.dimension * r ** (self.dimension - 1)

    def _jacobian(self, r: np.ndarray) -> scipy.sparse.csc_matrix:
        """∂r_i'/∂r_j, tridiagonal, (N, N)."""
        area, u = self._area(r), self.density(r)
        pressure = u**self.m
        stiffness = self.m * pressure * u / self.masses  # −∂uᵐ/∂volume
        ratio, outer = area / self._between, np.append(stiffness[1:], 0.0)
        own = ratio * -np.diff(pressure, append=0.0) * (self.dimension - 1) / r
        own -= ratio * area * (stiffness + outer)
        below = ratio[1:] * stiffness[1:] * area[:-1]
        above = ratio[:-1] * outer[:-1] * area[1:]
        return scipy.sparse.diags([below, own, above], [-1, 0, 1], format="csc")


@lru_cache(maxsize=8)
def _standard(dimension: int, m: float) -> StandardFlow:
    return StandardFlow.gaussian(dimension, m)


@dataclass(frozen=True)
class RadialPorousFlow:
    """The flow of c/(m−1) ∫ρᵐ, m > 1, from N(z₀, σ²I) or a mixture Σ_k π_k N(z_k, σ_k²I) whose
    components have not met: each moves as it would alone.

    They count as met, and the map is not a number from then on, once two balls about z_j and z_k
    overlap that hold all but 1e-6 of the mass of their components. The error by the shells is about
    1e-4 of the displacement.
    """

    m: float
    """The exponent m."""
    factor: float
    """The factor c of the energy."""
    start: Density
    """The start density λ."""

    @classmethod
    def known(cls, m: float, factor: float, start: Density) -> RadialPorousFlow | None:
        """The flow from `start`; None unless its components are isotropic Gaussians in at most 50
        dimensions that have not met."""
        if start.dimension > _MOST or not all(map(_is_isotropic, components_of(start))):
            return None
        flow = cls(m, factor, start)
        return None if flow.has_met(0.0) else flow

    @cached_property
    def _parts(self) -> list[tuple[float, Tensor, float]]:
        """π_k, z_k, (d,), and σ_k of every component."""
        start = self.start
        weights = start.weights.tolist() if isinstance(start, Mixture) else [1.0]
        return [
            (weight, part.mean, math.sqrt(float(part.covariance.reshape(-1)[0])))
            for weight, part in zip(weights, components_of(start), strict=True)
            if isinstance(part, Gaussian)
        ]

    @property
    def _flow(self) -> StandardFlow:
        return _standard(self.start.dimension, self.m)

    def _height(self, k: int) -> float:
        """ρ₀ of component k."""
        weight, _, sigma = self._parts[k]
        return float(weight * (2 * math.pi * sigma**2) ** (-0.5 * self.start.dimension))

    def _time(self, k: int, t: float) -> float:
        """s of component k."""
        return self.factor * self._height(k) ** (self.m - 1) * t / self._parts[k][2] ** 2

    def has_met(self, t: float) -> bool:
        """Whether components have met by the time t after the start."""
        if len(self._parts) == 1:
            return False
        edge = np.sqrt([scipy.special.chdtri(self.start.dimension, _APART)])
        reach = [
            sigma * float(self._flow.radius(edge, self._time(k, t))[0])
            for k, (_, _, sigma) in enumerate(self._parts)
        ]
        centres = [centre for _, centre, _ in self._parts]
        return any(
            not reach[j] + reach[k] <= float((centres[j] - centres[k]).norm())
            for k in range(len(reach))
            for j in range(k)
        )

    def energy(self, t: float) -> float:
        """c/(m−1) ∫ρᵐ at time t after the start; not a number once components have met."""
        if self.has_met(t):
            return math.nan
        total = 0.0
        for k, (weight, _, _) in enumerate(self._parts):
            u = self._flow.density(self._flow.faces(self._time(k, t)))
            mean = float((self._flow.masses * u ** (self.m - 1)).sum())
            total += weight * self._height(k) ** (self.m - 1) * mean
        return self.factor / (self.m - 1) * total

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        if t == 0.0:
            return z
        if self.has_met(t):
            return torch.full_like(z, torch.nan)
        x, own = torch.empty_like(z), self._component(z)
        for k, (_, centre, sigma) in enumerate(self._parts):
            arm = z[own == k] - centre
            r = arm.norm(dim=1, keepdim=True) / sigma
            moved = torch.from_numpy(self._flow.radius(r.numpy(), self._time(k, t)))
            x[own == k] = centre + arm * torch.where(r > 0, moved / r, 1.0)
        return x

    def _component(self, z: Tensor) -> Tensor:
        """The component that is densest at z, (n, d) → (n,)."""
        if not isinstance(self.start, Mixture):
            return torch.zeros(len(z), dtype=torch.int64)
        logs = [part.log_density(z) for part in self.start.components]
        return (torch.stack(logs, 1) + self.start.weights.log()).argmax(1)


def _is_isotropic(density: Density) -> bool:
    if not isinstance(density, Gaussian):
        return False
    return multiple_of_identity(density.covariance, density.dimension) is not None
