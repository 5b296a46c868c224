"""The projection Π of vector fields at samples of ρ onto gradients, within q functions φ_k.

With B = [∇φ_k(x_i)] and K = BᵀWB/n, W the weights of the samples,

    Π a = B K⁻¹ BᵀW a/n = ∇ψ,   ψ = Σ_k c_k φ_k,   c = K⁻¹ E[∇φ·a]:

the gradient that is nearest to a in L²(ρ). Only Πa moves the density, ∂ₜρ = −∇·(ρ a) [PFPE,
Theorem 4]. To K is added 1e-10 of its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..errors import StepFailed
from ..maps import Frame
from ..parallel import tree_sum
from .ridge_basis import RidgeBasis

_REGULAR = 1e-10  # of ‖K‖
_FUNCTIONS = 200  # at most, by default,
_SAMPLES_EACH = 20  # and so many samples for each
_KEPT = 1 << 30  # bytes of ψ' that a rank keeps; beyond, they are computed anew


def basis_size(wanted: int | None, samples: int, dimension: int) -> int:
    """q: what is wanted, by default min(200, n/20), and at least coordinates and squares."""
    if wanted is not None:
        return wanted
    return max(2 * dimension, min(_FUNCTIONS, samples // _SAMPLES_EACH))


def told_of_size(count: int, samples: int, dimension: int) -> str | None:
    """What is wrong with a basis of `count` functions on so many samples, if anything is."""
    # K of so many samples tells functions apart that have two numbers each.
    least, most = 2 * dimension, samples * dimension // 2
    if least <= count <= most:
        return None
    return (
        f"{count} functions in {dimension} dimensions on {samples} samples: give from {least} "
        f"(coordinates and squares) to {most}, which such samples tell apart"
    )


def basis_for(images: Sequence[Tensor], ensemble: Ensemble, count: int) -> RidgeBasis:
    """q = `count` functions, laid out by mean and covariance of the images of this rank's chunks,
    (n_chunk, d) each, over the samples of all ranks. Collective, two all-reduces.

    Errors: `StepFailed` where an image is not finite."""
    points = [x.double() for x in images]
    # Importance weights are divided by their sum here: a frame must not move with the origin of x.
    sums = ensemble.mean(tree_sum([
        ensemble.weighted(k, torch.cat([x, torch.ones_like(x[:, :1])], 1)).sum(0)
        for k, x in enumerate(points)
    ]))  # fmt: skip
    mean, weight = sums[:-1] / sums[-1], sums[-1]
    square = ensemble.mean(tree_sum([
        ensemble.weighted(k, x - mean).T @ (x - mean) for k, x in enumerate(points)
    ]))  # fmt: skip
    if not bool(square.isfinite().all()):
        raise StepFailed("images of samples are not finite")
    return RidgeBasis.of(Frame.of_moments(mean, square / weight), count).to(images[0])


@dataclass(frozen=True)
class GradientProjection:
    """Π at the images of the samples of all ranks. Vectors of q numbers are in float64."""

    basis: RidgeBasis
    """φ_k."""
    images: Sequence[Tensor]
    """x of every chunk of this rank, (n_chunk, d)."""
    ensemble: Ensemble
    """The samples."""

    @classmethod
    def at(cls, images: Sequence[Tensor], ensemble: Ensemble, count: int) -> Self:
        """With q = `count` functions, see `basis_for`; collective."""
        return cls(basis_for(images, ensemble, count), images, ensemble)

    @cached_property
    def _kept(self) -> list[Tensor] | None:
        rows = sum(map(len, self.images))
        if 8 * rows * self.basis.count > _KEPT:
            return None
        return [self.basis.first(x.double()) for x in self.images]

    def slopes(self, chunk: int) -> Tensor:
        """ψ_k' at the images of a chunk, (n_chunk, q): ∇φ_k = ψ_k' w_k."""
        if self._kept is not None:
            return self._kept[chunk]
        return self.basis.first(self.images[chunk].double())

    @cached_property
    def _factor(self) -> Tensor:
        sums = []
        for k in range(len(self.images)):
            slopes = self.slopes(k)
            sums.append(self.ensemble.weighted(k, slopes).T @ slopes)
        W = self.basis.directions
        gram = self.ensemble.mean(tree_sum(sums)) * (W @ W.T)
        gram.diagonal().add_(_REGULAR * torch.linalg.matrix_norm(gram))
        factor, failed = torch.linalg.cholesky_ex(gram)
        if bool(failed) or not bool(factor.isfinite().all()):
            raise StepFailed(
                "the gradients of the basis depend on each other at the samples: take fewer "
                "functions (method.functions), or more samples"
            )
        return factor

    def moments(self, fields: Sequence[Tensor]) -> Tensor:
        """E[∇φ·a], (q,), of a vector field a at every chunk, (n_chunk, d). Collective, one
        all-reduce of q numbers."""
        return self.ensemble.mean(tree_sum([
            (self.slopes(k) * (self.ensemble.weighted(k, a.double()) @ self.basis.directions.T))
            .sum(0)
            for k, a in enumerate(fields)
        ]))  # fmt: skip

    def coefficients(self, moments: Tensor) -> Tensor:
        """c = K⁻¹m, (q,) or (q, k). Collective where it is first asked for. Errors: `StepFailed`
        where K cannot be factored."""
        columns = moments[:, None] if moments.ndim == 1 else moments
        return torch.cholesky_solve(columns, self._factor).view_as(moments)

    def square(self, moments: Tensor) -> float:
        """E|Πa|² = mᵀK⁻¹m of the field with moments m."""
        return float(moments @ self.coefficients(moments))

    def gradient(self, coefficients: Tensor, chunk: int) -> Tensor:
        """∇ψ = Σ_k c_k ∇φ_k at the images of a chunk, (n_chunk, d) in float64."""
        return (self.slopes(chunk) * coefficients) @ self.basis.directions

    def blended(self, fields: Sequence[Tensor], epsilon: float) -> list[Tensor]:
        """[Π + ε(I − Π)] a at every chunk, in the precision of the field. Collective, one
        all-reduce of q numbers."""
        c = self.coefficients(self.moments(fields)).mul_(1.0 - epsilon)
        return [
            self.gradient(c, k).add_(a.double(), alpha=epsilon).to(a) for k, a in enumerate(fields)
        ]
