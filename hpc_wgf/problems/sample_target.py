"""A target density Q that is known by samples: its potential −log Q, learned once.

With μ = .8 N(m, 1.3² C) + .2 N(m, 3.9² C), m and C the moments of the samples, r = log Q/μ is the
log-odds of a sample being of Q and not of μ, where both are as many. It is found by logistic
regression (M. Sugiyama, T. Suzuki, T. Kanamori, Density Ratio Estimation, Cambridge 2012) on

    r(y) = θ₀ + w(y) [θ₁ + Σ_k θ_k tanh(s_k u_k·(y − y_k))],    y = (1.3² C)^{−½} (x − m),

u_k random directions, y_k samples and s_k = 1, 2, 4 in turn: a convex problem in θ, so that the
same samples give the same potential everywhere, up to rounding. Far away, where no sample is, a fit
might be anything: there the window w = 2^{−(|y|/R)⁴}, R² = d + 3 (2d)^½, leaves the density μ, and
the wide part of μ has samples in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..constants import like
from ..errors import InputError
from .densities import Density
from .fitted_mixture import whitening
from .matrices import centred
from .potentials import Potential
from .sample_rows import SampleRows, SampleSource

FEWEST = 256
"""The least samples that tell a target."""
_MOST = 32768  # samples that are learned from
_WIDER = 1.3  # μ than the samples,
_FAR, _FAR_SHARE = 3.0, 0.2  # and a share of it wider still
_REFERENCE, _MOST_REFERENCE = 4, 16384  # samples of μ for one of Q, up to so many
_FEATURES = 192
_FREE = 2  # constants, which no ridge holds down
_SCALES = (1.0, 2.0, 4.0)
_RIDGES = (1e-3, 1e-4, 1e-5, 1e-6)  # factors of |θ|²/2 that are tried, one after another
_HELD_OUT = 0.2  # of the samples, which choose among them
_MOST_ITERATIONS = 50
_WANTED = 10  # samples for every feature
_CONVERGED = 1e-14  # decrease of the loss that another step of Newton's method promises


class _Learned(NamedTuple):
    theta: Tensor
    loss: float
    ridge: float
    ratio: tuple[float, float]


class SampleTarget(Potential):
    """V = −log Q for a density Q of which there are samples."""

    def __init__(
        self, source: SampleSource, dimension: int | None = None, *, array: str = "",
        seed: int = 0, description: str = "",
    ):  # fmt: skip
        """`source`, `dimension`, `array`: see `SampleRows`; of more than 32 768 rows as many at
        random are used. `seed`: of the samples of μ, the features, and the samples held out.
        `description`: of samples in an array, by which a stored run knows them again in place of a
        digest.

        Errors: `InputError`, as for `SampleRows`, for fewer than 256 samples, and where they lie on
        a plane."""
        self.rows = SampleRows(source, dimension, array=array)
        """The samples."""
        self._description = description or repr(self.rows)
        self.dimension, self.seed = self.rows.dimension, seed
        self._radius_square = self.rows.dimension + 3 * (2 * self.rows.dimension) ** 0.5
        if self.rows.count < FEWEST:
            raise InputError(
                f"{self.rows.name} holds {self.rows.count} samples: a target is learned from at "
                f"least {FEWEST}"
            )
        random = np.random.default_rng(seed)
        chosen = random.permutation(self.rows.count)[:_MOST]
        x = self.rows.at(chosen)
        self.mean, self._factor = x.mean(0), _WIDER * whitening(x)
        y = self._whitened(x)
        wanted = max(len(y), min(_REFERENCE * len(y), _MOST_REFERENCE))
        reference = torch.from_numpy(random.standard_normal((wanted, self.dimension)))
        reference[:: round(1 / _FAR_SHARE)] *= _FAR
        self._slopes, self._offsets = _features(y, random)
        found = self._fitted(y, reference)
        # The ratio: E_μ[Q/μ] over held-out samples of μ, and its standard error.
        self.theta, self.loss, self.ridge, self.ratio = found
        self.samples = len(y)
        """How many have been used."""

    @classmethod
    def drawn_from(cls, density: Density, count: int, *, seed: int = 0) -> SampleTarget:
        """The potential learned from `count` samples that are drawn from `density`."""
        z = density.sample(np.random.default_rng(seed), count)
        return cls(z, seed=seed, description=f"{count} samples of {density}")

    def __repr__(self) -> str:
        return f"SampleTarget({self._description}, seed={self.seed})"

    def _fitted(self, y: Tensor, reference: Tensor) -> _Learned:
        """θ for the ridge under which held-out samples are told best, then from all samples."""
        of_target, of_reference = self._rows(y), self._rows(reference)
        kept = [len(part) - int(_HELD_OUT * len(part)) for part in (y, reference)]
        fitted = _Regression(of_target[: kept[0]], of_reference[: kept[1]])
        held = _Regression(of_target[kept[0] :], of_reference[kept[1] :])
        theta, best = y.new_zeros(of_target.shape[1]), None
        for ridge in _RIDGES:
            theta = fitted.minimum(theta, ridge)
            loss = held.loss(theta)
            if best is not None and loss >= best.loss:
                break
            ratios = (of_reference[kept[1] :] @ theta).exp()
            error = float(ratios.std()) / len(ratios) ** 0.5
            best = _Learned(theta, loss, ridge, (float(ratios.mean()), error))
        assert best is not None
        whole = _Regression(of_target, of_reference)
        return best._replace(theta=whole.minimum(best.theta, best.ridge))

    def _whitened(self, x: Tensor) -> Tensor:
        arm = centred(x, self.mean)
        return torch.linalg.solve_triangular(like(self._factor, x), arm.T, upper=False).T

    def _rows(self, y: Tensor) -> Tensor:
        """The features and both constants, (n, K + 2)."""
        window = self._window(y)[:, None]
        return torch.cat([window * self._tanh(y), window, torch.ones_like(window)], 1)

    def _tanh(self, y: Tensor) -> Tensor:
        return torch.tanh(torch.addmm(like(self._offsets, y), y, like(self._slopes, y).T))

    def _window(self, y: Tensor) -> Tensor:
        return torch.exp2(-(y.square().sum(1) / self._radius_square).square())

    def __call__(self, x: Tensor) -> Tensor:
        y = self._whitened(x)
        log_norm = 0.5 * len(self.mean) * math.log(2 * math.pi)
        constant = log_norm + float(self._factor.diagonal().log().sum())
        return constant - self._log_parts(y).logsumexp(1) - self._rows(y) @ like(self.theta, x)

    def _log_parts(self, y: Tensor) -> Tensor:
        """Logarithms of both parts of μ but for a constant, (n, 2)."""
        square = 0.5 * y.square().sum(1, keepdim=True)
        d = len(self.mean)
        far = math.log(_FAR_SHARE) - d * math.log(_FAR) - square / _FAR**2
        return torch.cat([math.log(1 - _FAR_SHARE) - square, far], 1)

    def gradient(self, x: Tensor) -> Tensor:
        y = self._whitened(x)
        features, theta = self._tanh(y), like(self.theta, x)[:-_FREE]
        height = features @ theta + like(self.theta, x)[-_FREE]
        near, far = self._log_parts(y).softmax(1).split(1, 1)
        inner = (near + far / _FAR**2) * y
        within = ((1 - features * features) * theta) @ like(self._slopes, x)
        slope = 4 * math.log(2) * y.square().sum(1) / self._radius_square**2
        outward = (slope * height)[:, None] * y
        inner = inner - self._window(y)[:, None] * (within - outward)
        return torch.linalg.solve_triangular(like(self._factor, x), inner, upper=False, left=False)

    def learned(self) -> Sequence[Tensor]:
        """The numbers that have been learned from the samples."""
        return self.mean, self._factor, self.theta

    def notes(self) -> list[str]:
        """How well the target is told, for a reader before a run."""
        mean, error = self.ratio
        told = (
            f"a potential is learned from {self.samples} samples of its density Q in "
            f"{self.rows.name}: E_μ[Q/μ] = {mean:.3f} ± {error:.3f} over held-out samples of the "
            "Gaussian μ that Q is compared with, 1 for the exact ratio. (Held-out logistic loss "
            f"{self.loss:.4f}, which says how far Q and μ are apart, not how good the fit is: "
            "0.6931 where they are the same, 0 where no sample could be of both.) The flow's limit "
            "is off by as much as this fit"
        )
        wanted = _WANTED * _FEATURES
        if self.samples >= wanted:
            return [told]
        return [
            told,
            f"{self.samples} samples are few for the {_FEATURES} features of a potential in "
            f"{self.rows.name}, which may follow their noise: take {wanted} or more",
        ]


def _features(y: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Slopes s_k u_k, (K, d), and offsets −s_k u_k·y_k, (K,)."""
    directions = torch.from_numpy(random.standard_normal((_FEATURES, y.shape[1])))
    scales = torch.tensor(_SCALES, dtype=y.dtype).repeat(_FEATURES // len(_SCALES))
    slopes = scales[:, None] * directions / directions.norm(dim=1, keepdim=True)
    centres = y[torch.from_numpy(random.integers(0, len(y), _FEATURES))]
    return slopes, -(slopes * centres).sum(1)


class _Regression:
    """The loss −½E_Q[log σ(r)] − ½E_μ[log(1 − σ(r))] of log-odds r = Aθ."""

    def __init__(self, of_target: Tensor, of_reference: Tensor) -> None:
        """Rows of A for samples of Q, (n, q), and of μ, (m, q)."""
        self._rows = torch.cat([of_target, of_reference])
        self._is_target = torch.cat([of_target.new_ones(len(of_target)),
                                     of_target.new_zeros(len(of_reference))])  # fmt: skip
        shares = self._is_target / len(of_target) + (1 - self._is_target) / len(of_reference)
        self._weights = 0.5 * shares

    def loss(self, theta: Tensor, ridge: float = 0.0) -> float:
        r = self._rows @ theta
        signed = torch.where(self._is_target > 0, -r, r)
        return float(self._weights @ softplus(signed)) + 0.5 * ridge * float(
            theta[:-_FREE] @ theta[:-_FREE]
        )

    def minimum(self, theta: Tensor, ridge: float) -> Tensor:
        """θ where the loss plus ridge/2 |θ|² (but for the constants) is least, by Newton's method
        from `theta`."""
        penalty = theta.new_full(theta.shape, ridge)
        penalty[-_FREE:] = 0.0
        for _ in range(_MOST_ITERATIONS):
            odds = torch.sigmoid(self._rows @ theta)
            slope = self._rows.T @ (self._weights * (odds - self._is_target)) + penalty * theta
            half = self._rows * (self._weights * odds * (1 - odds)).sqrt()[:, None]
            curvature = half.T @ half
            curvature.diagonal().add_(penalty)
            step = torch.linalg.solve(curvature, slope)
            promised = float(slope @ step)
            if promised < _CONVERGED:
                break
            size, before = 1.0, self.loss(theta, ridge)
            while size > 1e-6 and not self.loss(theta - size * step, ridge) <= before:
                size /= 2
            theta = theta - size * step
        return theta
