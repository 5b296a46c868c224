"""The flow of a Gaussian that is drawn to its centre, diffuses and cannot be denser than a limit:
by finite volumes in shells, with the map of its quantiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .attraction import attraction
from .densities import Gaussian
from .fermi import FermiEntropy
from .flow import Flow
from .matrices import multiple_of_identity
from .mobility import Saturating

_CELLS = 1600
_REACH = 6.0  # deviations, beyond √d where its samples lie, in which the cells lie
_TRUSTED = 1e-11  # of the mass, within and beyond a face, from which on its quantile is known
_RTOL = 1e-8


@dataclass(frozen=True)
class FermiFlow:
    """∂ₜu = ∇·(k x u (1 − u) + β ∇u) from N(c, σ²I) in coordinates about c, u the density over its
    limit: the flow of `FermiEntropy` and of an attraction to the centre with the mobility
    `Saturating`. It comes to rest at u = 1/(1 + e^{(k|x|²/2 − a)/β}).

    Central fluxes on equal shells, of second order, which conserve the mass exactly; in time LSODA
    to 10⁻⁸; not a number where that fails. Particles keep the mass within them, z ↦ z R/|z|: R is
    interpolated between the faces as a function of the quantile of the start at this mass, which at
    t = 0 is |z|/σ itself."""

    start: Gaussian
    """N(c, σ²I)."""
    limit: float
    """The density at which u = 1."""
    rate: float
    """k > 0, in 1/t."""
    beta: float
    """β > 0."""
    cells: int = _CELLS
    """Number of shells."""
    _known: dict[float, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def known(cls, flow: Flow, start: object) -> Self | None:
        """The flow of an attraction and a Fermi entropy, with the mobility of the same limit."""
        if not isinstance(flow.mobility, Saturating) or flow.drift is not None:
            return None
        if not isinstance(start, Gaussian):
            return None
        fermi = [part for part in flow.energy.parts if isinstance(part, FermiEntropy)]
        limits = {part.limit for part in fermi}
        others = [part for part in flow.energy.parts if not isinstance(part, FermiEntropy)]
        round = multiple_of_identity(start.covariance, start.dimension)
        if limits != {flow.mobility.limit} or round is None:
            return None
        rate = attraction(others, start.mean, round**0.5)
        beta = sum(part.beta for part in fermi)
        if rate is None or not (rate > 0 and beta > 0):
            return None
        return cls(start, flow.mobility.limit, rate, beta)

    @cached_property
    def _deviation(self) -> float:
        """σ."""
        found = multiple_of_identity(self.start.covariance, self.start.dimension)
        assert found is not None
        return found**0.5

    @cached_property
    def faces(self) -> np.ndarray:
        """The radii between the cells, 0 and the last one included, (cells + 1,)."""
        # The density at rest reaches as far as k r² ~ 2β; it is narrower than most starts.
        last = (self.start.dimension**0.5 + _REACH) * max(
            self._deviation, (self.beta / self.rate) ** 0.5
        )
        return np.linspace(0.0, last, self.cells + 1)

    @cached_property
    def _volumes(self) -> np.ndarray:
        """Of the shells, (cells,)."""
        d = self.start.dimension
        ball = np.pi ** (d / 2) / scipy.special.gamma(d / 2 + 1)
        return np.asarray(ball * np.diff(self.faces**d))

    def masses(self, t: float) -> np.ndarray:
        """The mass in every shell at time t after the start, (cells,)."""
        if t not in self._known:
            self._known[t] = self._integrated(t)
        return self._known[t]

    def density(self, t: float) -> np.ndarray:
        """ρ, means over the shells, (cells,)."""
        return self.masses(t) / self._volumes

    def _integrated(self, t: float) -> np.ndarray:
        d, scaled = self.start.dimension, (self.faces / self._deviation) ** 2
        inner = np.diff(scipy.special.chdtr(d, scaled))
        outer = -np.diff(scipy.special.chdtrc(d, scaled))
        begun = np.where(scaled[1:] < d, inner, outer)
        if t == 0.0:
            return begun
        inside, centres = self.faces[1:-1], 0.5 * (self.faces[1:] + self.faces[:-1])
        ball = np.pi ** (d / 2) / scipy.special.gamma(d / 2 + 1)
        area, apart = d * ball * inside ** (d - 1), np.diff(centres)

        def rate(_: float, masses: np.ndarray) -> np.ndarray:
            rho = masses / self._volumes
            middle = 0.5 * (rho[1:] + rho[:-1])
            inflow = self.rate * inside * middle * (1 - middle / self.limit)
            flux = area * (inflow + self.beta * np.diff(rho) / apart)
            return np.append(flux, 0.0) - np.append(0.0, flux)

        path = scipy.integrate.solve_ivp(
            rate, (0.0, t), begun, "LSODA", lband=1, uband=1, rtol=_RTOL,
            atol=1e-6 * _RTOL * begun.max(),
        )  # fmt: skip
        if not path.success:
            return np.full_like(begun, np.nan)
        return np.asarray(path.y[:, -1])

    def radius(self, r: np.ndarray, t: float) -> np.ndarray:
        """Where those particles are that were at r at the start, distances from the centre."""
        masses = np.clip(self.masses(t), 0.0, None)
        if np.isnan(masses).any():
            return np.full_like(r, np.nan)
        below = np.append(0.0, np.cumsum(masses))
        above = np.append(np.cumsum(masses[::-1])[::-1], 0.0)
        d = self.start.dimension
        # Mass is cumulated from the nearer end, where its sum is small and so are rounding errors.
        square = np.where(
            below < above, scipy.stats.chi2.ppf(below, d), scipy.stats.chi2.isf(above, d)
        )
        known = (np.minimum(below, above) > _TRUSTED) & np.isfinite(square)
        known[0] = True
        scores, places = np.sqrt(square[known]), self.faces[known]
        rising = np.append(True, np.diff(scores) > 0)
        scores, places = scores[rising], places[rising]
        inverse = scipy.interpolate.PchipInterpolator(scores, places)
        s = r / self._deviation
        # Where hardly a sample lies the map is continued in proportion.
        return np.asarray(inverse(np.minimum(s, scores[-1])) * np.maximum(s / scores[-1], 1.0))

    def __call__(self, t: float, z: Tensor) -> Tensor:
        step = z.double().cpu() - self.start.mean
        if t == 0.0:
            return self.start.mean + step
        r = step.norm(dim=1)
        moved = torch.from_numpy(self.radius(r.numpy(), t))
        return self.start.mean + step * (moved / r.clamp(min=1e-300))[:, None]
