"""A mixture of Gaussians fitted to samples by the EM algorithm (A. P. Dempster, N. M. Laird,
D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from .densities import Gaussian, Mixture

_NUMBERS = (1, 2, 4, 8, 16, 32)  # of components that are tried
_PER_COMPONENT = 20  # samples for each number of a component
_SURE = 2.0  # Standard errors by which more components have to be better.
_HELD_OUT = 5  # Of so many samples one is held out.
_ROUNDS = 200  # of the algorithm at most,
_GAIN = 1e-7  # which ends where a round gains less log-likelihood a sample.
_FLOOR = 1e-4  # Least variance of a component, over that of the samples in each direction.


class FittedMixture(Mixture):
    """Σ_k π_k N(m_k, C_k) that fits samples, the same for the same ones.

    Its components are 1, 2, 4, … up to 32, doubled as long as samples that are held out become more
    likely by more than the noise of that."""

    def __init__(self, z: Tensor):
        """`z`: the samples, (n, d) in float64. Errors: `InputError` where they lie on a plane."""
        held = torch.arange(len(z)) % _HELD_OUT == _HELD_OUT - 1
        fitted, others = z[~held], z[held]
        n, d = fitted.shape
        frame = whitening(fitted)
        y = torch.linalg.solve_triangular(frame, (fitted - z.mean(0)).T, upper=False).T
        best: Tensor | None = None
        chosen, weights = list[Gaussian](), list[float]()
        for number in _NUMBERS:
            if number > 1 and n < _PER_COMPONENT * number * (1 + d + d * (d + 1) // 2):
                break
            shares, means, factors = _em(y, number)
            parts = [
                Gaussian(d, z.mean(0) + frame @ m, frame @ L @ L.T @ frame.T)
                for m, L in zip(means, factors, strict=True)
            ]
            tried = Mixture(parts, shares.tolist())
            likelihoods = tried.log_density(others)
            if best is None:
                self.of_one = float(likelihoods.mean())
                """Mean log-likelihood of the held-out samples under one Gaussian."""
            elif not _is_better(likelihoods - best):
                break
            best, chosen, weights = likelihoods, parts, shares.tolist()
        assert best is not None
        super().__init__(chosen, weights)
        self.likelihood = float(best.mean())
        """Mean log-likelihood of the held-out samples."""
        self.samples = len(z)
        """n, the held-out ones among them."""
        self._gaussians = chosen

    def numbers(self) -> list[Tensor]:
        """Weights, means and covariances."""
        return [
            self.weights,
            *(number for part in self._gaussians for number in part.moments()),
        ]

    def told(self) -> str:
        """What it is and how well it fits, in words."""
        return (
            f"a fit, a mixture of {len(self.components)} Gaussians to {self.samples} samples: mean "
            f"log-likelihood {self.likelihood:.4g} of samples held out ({self.of_one:.4g} by one "
            "Gaussian). What depends on the density is off by what the fit is"
        )


def _is_better(gains: Tensor) -> bool:
    """Whether log-likelihoods, (n,), have grown by more than the noise of their mean."""
    return bool(gains.mean() > _SURE * gains.std() / len(gains) ** 0.5)


def whitening(z: Tensor) -> Tensor:
    """The Cholesky factor of the covariance of samples, (n, d): (d, d). Errors: `InputError` where
    they lie on a plane, and where it overflows."""
    covariance = z.T.cov().reshape(z.shape[1], z.shape[1])
    if not bool(covariance.isfinite().all()):
        raise InputError(
            f"the samples are as large as {float(z.abs().max()):.3g}, so that their variances "
            "overflow: give them in other units, or leave such rows out"
        )
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise InputError(
            "the samples lie on a plane, or are hardly more than their dimension: no density fits "
            "them"
        )
    return factor


def _em(y: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and Cholesky factors of the components for whitened samples, (n, d)."""
    n, d = y.shape
    means, last = _spread(y, number), -math.inf
    weights = y.new_full((number,), 1 / number)
    factors = torch.eye(d, dtype=y.dtype).expand(number, d, d) / number ** (1 / d)
    for _ in range(_ROUNDS):
        arms = y[None] - means[:, None]
        inner = torch.linalg.solve_triangular(factors, arms.mT, upper=False)
        volumes = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        joint = weights.log() - 0.5 * inner.square().sum(1).T - volumes
        total = joint.logsumexp(1)
        shares = (joint - total[:, None]).exp()
        counts = shares.sum(0).clamp(min=1e-9)
        weights, means = counts / counts.sum(), shares.T @ y / counts[:, None]
        arms = y[None] - means[:, None]
        moments = torch.einsum("kni,kn,knj->kij", arms, shares.T, arms) / counts[:, None, None]
        factors = torch.linalg.cholesky(moments + _FLOOR * torch.eye(d, dtype=y.dtype))
        likelihood = float(total.mean())
        if likelihood - last < _GAIN:
            break
        last = likelihood
    return weights, means, factors


def _spread(y: Tensor, number: int) -> Tensor:
    """Means to begin with: samples far from each other, each drawn by the squares of distances to
    those before (D. Arthur, S. Vassilvitskii, SODA 2007), and then cluster means."""
    random = torch.Generator().manual_seed(0)
    chosen = y[:1]
    for _ in range(number - 1):
        square = torch.cdist(y, chosen).square().min(1).values
        place = torch.multinomial(square.clamp(min=1e-12), 1, generator=random)
        chosen = torch.cat([chosen, y[place]])
    for _ in range(10):
        nearest = torch.cdist(y, chosen).argmin(1)
        counts = torch.bincount(nearest, minlength=number)
        sums = torch.zeros_like(chosen).index_add_(0, nearest, y)
        chosen = torch.where((counts > 0)[:, None], sums / counts.clamp(min=1)[:, None], chosen)
    return chosen
