"""The map of a run at one time as a function: points, densities, scores, and back."""

from __future__ import annotations

import copy
import warnings
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, WgfWarning
from ..kinds import shown
from ..maps import MapState, PushForward, Transported
from ..parallel import samples_to_check
from ..problems import Problem, is_known
from .between_rows import PathMap
from .preimage import SEEDS, Preimage, preimage

Points = TypeVar("Points", Tensor, np.ndarray)
_COMPARED = 512  # start samples at which two maps are compared


class MapAt:
    """T = T(t), evaluated in double precision, in which the parameters of all runs are held.

    Points are tensors or arrays, (n, d), and so are the results.
    """

    def __init__(self, problem: Problem, time: float, path: PathMap, *, folded: int = 0) -> None:
        """`folded`: at how many evaluation samples the map has folded there."""
        self.problem, self.time, self.folded = problem, time, folded
        """How many evaluation samples the map has folded at."""
        self._path = path
        self.whole = _in_double(path.map)
        """T as one map."""

    def __repr__(self) -> str:
        kind = "stored" if self._path.coarser is None else "interpolated"
        return f"<map of {self.problem.name} at t = {self.time:g}, {kind}>"

    @property
    def state(self) -> MapState:
        """T as frozen stages and an active map."""
        return self._path.map

    @cached_property
    def seeds(self) -> Tensor:
        """Samples of the start density, the same ones always, (k, d)."""
        return samples_to_check(self.problem.start.sample, SEEDS)

    @cached_property
    def interpolation_error(self) -> float:
        """(E|T(z) − T₋(z)|²)^½ in units of x, T₋ by interpolation of one degree less: an estimate,
        mostly far too large, of what is wrong between rows. 0 at a stored time."""
        if self._path.coarser is None:
            return 0.0
        z = self.seeds[:_COMPARED]
        with torch.no_grad():
            apart = self.whole(z) - _in_double(self._path.coarser)(z)
        return float(apart.square().sum(1).mean().sqrt())

    @torch.no_grad()
    def push(self, z: Points) -> Points:
        """T(z)."""
        return _like(z, self.whole(self._points(z)))

    def inverse(self, x: Points) -> Points:
        """z with T(z) = x, to 1e-9 of 1 + |z| or better: see `preimage`.

        Errors: `InputError` where a point has no preimage, or none was found."""
        return _like(x, self._preimage(x).z)

    def preimage(self, x: Tensor) -> Preimage:
        """z with T(z) = x, and an estimate of its error; not-a-number where there is none or none
        was found."""
        return preimage(self.whole, self._points(x), self.seeds)

    def log_density(self, x: Points) -> Points:
        """log ρ(x) = log λ(z) − log|det ∇T(z)| with T(z) = x; −∞ outside of the support.

        Errors: as for `inverse`, and where samples alone tell λ."""
        self._check_known()
        z = self._preimage(x).z
        return _like(x, self._log_density(z, self._transported(z)))

    def score(self, x: Points) -> Points:
        """∇ log ρ(x).

        Errors: as for `log_density`, and for a point outside of the support."""
        self._check_known()
        z = self._preimage(x).z
        outside = self.problem.start.log_density(z).isneginf()
        if bool(outside.any()):
            raise InputError(
                f"{_which(x, outside)} outside of the support of the density at t = "
                f"{self.time:g}, where it has no score: leave such points out"
            )
        image = self._transported(z, self.problem.start.score(z))
        assert image.score is not None
        return _like(x, image.score)

    def log_density_or_nan(self, x: Tensor) -> Tensor:
        """log ρ(x), not-a-number where no preimage was found or the map has folded there."""
        z = self.preimage(x).z
        image = self._transported(z)
        return torch.where(image.positive, self._log_density(z, image), torch.nan)

    def score_or_nan(self, x: Tensor) -> Tensor:
        """∇ log ρ(x), not-a-number likewise, and outside of the support."""
        z = self.preimage(x).z
        image = self._transported(z, self.problem.start.score(z))
        assert image.score is not None
        return torch.where(image.positive[:, None], image.score, torch.nan)

    def image(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x = T(z), (n, d), and log ρ(x), (n,), not-a-number where the map has folded."""
        z = self._points(z)
        image = self._transported(z)
        return image.x, torch.where(image.positive, self._log_density(z, image), torch.nan)

    @torch.no_grad()
    def _transported(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return self.whole.transport(z, score)

    def _check_known(self) -> None:
        if not is_known(self.problem.start):
            raise InputError(
                "samples alone tell the start of this run, and no density ρ: give or fit one, as "
                'by start.density = "fitted"'
            )

    def _log_density(self, z: Tensor, image: Transported) -> Tensor:
        if not is_known(self.problem.start):
            return torch.full_like(z[:, 0], torch.nan)
        log_start = self.problem.start.log_density(z)
        # Where λ is 0, so is ρ, whatever the volume is.
        return torch.where(log_start.isneginf(), log_start, log_start - image.log_det)

    def _preimage(self, x: Tensor | np.ndarray) -> Preimage:
        if self.folded:
            warnings.warn(
                f"the map has folded at {self.folded} evaluation samples at t = {self.time:g}: "
                "near these, points have several preimages, of which only one is counted",
                WgfWarning,
                stacklevel=3,
            )
        found = preimage(self.whole, self._points(x), self.seeds)
        lost = ~found.found
        if not bool(lost.any()):
            lost = ~self._transported(found.z).positive
        if bool(lost.any()):
            raise InputError(
                f"no preimage was found for {_which(x, lost)} at t = {self.time:g}: the map does "
                "not reach it, or has folded there"
            )
        return found

    def _points(self, values: Tensor | np.ndarray) -> Tensor:
        """(n, d) in double precision. Errors: `InputError` for other shapes and what is not
        finite."""
        try:
            points = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{shown(values)} was given as points: expected an array of shape "
                f"(n, {self.whole.dimension})"
            ) from error
        if points.ndim != 2 or points.shape[1] != self.whole.dimension:
            raise InputError(
                f"points of shape {tuple(points.shape)} were given: expected "
                f"(n, {self.whole.dimension})"
            )
        if not bool(points.isfinite().all()):
            raise InputError("points were given that are not finite: leave them out")
        return points


def _in_double(state: MapState) -> PushForward:
    return copy.deepcopy(state.whole()).double().cpu()


def _like(given: Points, found: Tensor) -> Points:
    return found if isinstance(given, Tensor) else found.numpy()


def _which(x: Tensor | np.ndarray, where: Tensor) -> str:
    """How many of the points these are, and the first."""
    first = int(where.nonzero()[0])
    point = ", ".join(f"{value:.6g}" for value in np.asarray(x)[first][:6])
    return f"{int(where.sum())} of {len(where)} points, first ({point}),"
