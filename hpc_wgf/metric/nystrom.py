"""Randomised Nyström approximation Ĝ ≈ U Λ Uᵀ from one product of Ĝ with r random vectors.

It is computed in float64, since in single precision its small eigenvalues would be noise.

Source: Z. Frangella, J. A. Tropp, M. Udell, SIAM J. Matrix Anal. Appl. 44 (2023) 718, Alg. 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .preconditioner import Preconditioner
from .subsample import Subsample

_FIRST_RANK, _MOST_RANK = 32, 512


@dataclass(frozen=True)
class LowRank:
    """Ĝ ≈ U Λ Uᵀ of rank r.

    The preconditioner is M = U (Λ + ε) Uᵀ/(λ_r + ε) + I − U Uᵀ, λ_r the least eigenvalue: an
    approximation of Ĝ + εI but for the factor 1/(λ_r + ε), on which iterates do not depend
    (Z. Frangella, J. A. Tropp, M. Udell, SIAM J. Matrix Anal. Appl. 44 (2023) 718, eq. 5.3).
    """

    values: Tensor
    """The diagonal of Λ, (r,), falling."""
    vectors: Tensor
    """U, (p, r), with orthonormal columns."""

    @property
    def norm(self) -> float:
        return float(self.values[0])

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        shift = max(shift, 1e-15 * self.norm)
        scale = ((self.values[-1] + shift) / (self.values + shift)).sqrt()
        return _LowRank((scale - 1).to(dtype), self.vectors.to(dtype))


@dataclass(frozen=True)
class _LowRank:
    """M^{−½} v = v + U (s − 1) Uᵀ v, s_i² = (λ_r + ε)/(λ_i + ε)."""

    scale: Tensor
    """s − 1, (r,)."""
    vectors: Tensor
    """U, (p, r)."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_upper(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        return torch.addmv(v, self.vectors, self.scale * (self.vectors.T @ v))

    solve_lower = solve_upper


def nystrom(sample: Subsample, parameters: int, shift: float) -> LowRank:
    """Ĝ ≈ U Λ Uᵀ of the subsample, with the eigenvalues that exceed `shift` times the largest.

    The rank is doubled, from 32 up to 512, until the approximation has smaller eigenvalues than
    that. `parameters`: p. Collective.
    """
    rank = min(_FIRST_RANK, parameters)
    while True:
        found = _of_rank(sample, parameters, rank)
        floor = max(shift, 1e-13) * float(found.values[0])
        if float(found.values[-1]) <= floor or rank >= min(_MOST_RANK, parameters):
            break
        rank = min(2 * rank, _MOST_RANK, parameters)
    kept = max(1, int((found.values > floor).sum()))
    return LowRank(found.values[:kept], found.vectors[:, :kept])


def _of_rank(sample: Subsample, parameters: int, rank: int) -> LowRank:
    generator = torch.Generator().manual_seed(rank)
    random = torch.randn(parameters, rank, generator=generator, dtype=torch.float64)
    test = torch.linalg.qr(random.to(sample.communicator.device)).Q
    image = gram_product(sample, test)
    nu = torch.finfo(torch.float64).eps * parameters**0.5 * image.norm()
    image = image + nu * test
    core = test.T @ image
    factor = torch.linalg.cholesky(0.5 * (core + core.T))
    narrow = torch.linalg.solve_triangular(factor, image.T, upper=False).T
    vectors, singular, _ = torch.linalg.svd(narrow, full_matrices=False)
    return LowRank((singular.square() - nu).clamp(min=0.0), vectors)


def gram_product(sample: Subsample, V: Tensor) -> Tensor:
    """Ĝ V over the subsample of all ranks, (p, r) → (p, r) in float64; collective.

    All columns share the same products of matrices.
    """

    def add(total: Tensor, layers: Sequence[ParameterLayer]) -> None:
        layers = [layer.double() for layer in layers]
        moved = sum(_pushed(layer, V) for layer in layers)  # J V, (n, directions, r)
        assert isinstance(moved, Tensor)
        for layer in layers:
            pulled = layer.sensitivity.mT @ moved  # (n, h, r)
            total[layer.index] += torch.einsum("nhr,nk->hkr", pulled, layer.input)

    return sample.mean(add, V.shape)


def _pushed(layer: ParameterLayer, V: Tensor) -> Tensor:
    """The layer's part of J V, B (V_layer a), (n, number of directions, r)."""
    return layer.sensitivity @ torch.einsum("nk,hkr->nhr", layer.input, V[layer.index])
