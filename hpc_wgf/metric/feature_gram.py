"""The metric of a map that is linear in its parameters, as a matrix: that of its features.

A mobility that is a multiple of I weighs the samples of the features. Any other couples the
coordinates, and blocks with each other: all parameters then form one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..ensemble import Ensemble
from ..errors import StepFailed
from ..maps import LinearFeatures, PushForward
from ..matrix_field import MatrixField
from ..parallel import TreeSum

Blocks = Callable[[Tensor], Tensor]
"""A linear map of vectors (p,)."""

MOST_FEATURES = 4096
"""The most features of a block, whose matrix takes 128 MiB and 2·10¹⁰ operations to factor."""


@dataclass(frozen=True)
class FeatureGram:
    """Ĝ = ⊕_B (E[φφᵀ] ⊗ I_m), with φ the q features of block B and m its coordinates."""

    matrices: Tensor
    """E[φφᵀ] of every block, (blocks, q, q) in float64."""
    index: Tensor
    """See `LinearFeatures.index`, (blocks, q, m)."""
    roughness: Tensor | None
    """See `LinearFeatures.roughness`, (q, q)."""
    damping: Tensor | None
    """See `LinearFeatures.damping`, (q,)."""

    @classmethod
    def of(
        cls, map: PushForward, ensemble: Ensemble, roots: Sequence[MatrixField] | None = None
    ) -> FeatureGram:
        """Of a map that is linear in θ, at samples; collective, one all-reduce. `roots`: R with
        P⁻¹ = RᵀR, P the mobility at every chunk; None for I."""
        sums, coupled = TreeSum(), roots is not None and roots[0].values.ndim > 1
        for k, z in enumerate(ensemble.points):
            features = features_of(map, z)
            value, inverse = features.value.double(), None if roots is None else roots[k].gram()
            if inverse is not None and coupled:
                sums.add(_coupled(features, ensemble, k, inverse))
                continue
            weighted = ensemble.weighted(k, value.permute(2, 0, 1)).permute(1, 2, 0)
            if inverse is not None:
                weighted = weighted * inverse.values
            sums.add(weighted @ value.mT)
        some = features_of(map, ensemble.points[0][:0])
        matrices = ensemble.mean(sums.total())
        if coupled:
            return cls._of_one_block(matrices, some.index, some.roughness, some.damping)
        return cls(matrices, some.index, some.roughness, some.damping)

    @classmethod
    def _of_one_block(
        cls, matrices: Tensor, index: Tensor, rough: Tensor | None, damping: Tensor | None
    ) -> FeatureGram:
        """`matrices` (1, p, p) in the order of an `index` (blocks, q, m), with what the features of
        a coordinate are smoothed and damped by."""
        rough = None if rough is None else _on_all(rough, index)
        damping = None if damping is None else _on_all(damping.diag(), index).diagonal()
        return cls(matrices, index.reshape(1, -1, 1), rough, damping)

    def coupled(self) -> FeatureGram:
        """The same with all parameters in one block."""
        eye = torch.eye(self.index.shape[2]).to(self.matrices)
        whole = torch.block_diag(*[torch.kron(each, eye) for each in self.matrices])
        return self._of_one_block(whole[None], self.index, self.roughness, self.damping)

    @cached_property
    def norm(self) -> float:
        """‖Ĝ‖."""
        finite = bool(self.matrices.isfinite().all())
        return float(torch.linalg.matrix_norm(self.matrices, 2).max()) if finite else torch.nan

    def shifted(self, shift: float, smoothing: float, *, damped: bool) -> Tensor:
        """The matrices of Ĝ + εI + sR, ε = `shift`, s = `smoothing`, and with `damped` + diag δ,
        (blocks, q, q)."""
        matrices = self.matrices.clone()
        diagonal = matrices.diagonal(dim1=1, dim2=2).add_(shift)
        if damped and self.damping is not None:
            diagonal.add_(self.damping)
        return matrices if self.roughness is None else matrices + smoothing * self.roughness

    def fitted(self, blocks: Tensor) -> Tensor:
        """Matrices (blocks, q m, q m) in the blocks of this one."""
        return blocks if len(blocks) == len(self.index) else torch.block_diag(*blocks)[None]

    def applied(self, matrices: Tensor, v: Tensor) -> Tensor:
        """The product of v, (p,), with matrices by blocks, (blocks, q, q)."""
        return self._scattered(matrices @ v.double()[self.index]).to(v)

    def inverse(self, matrices: Tensor) -> Blocks:
        """v ↦ A⁻¹v of matrices A by blocks, (blocks, q, q). Errors: `StepFailed` where they cannot
        be factored."""
        factors = factored(matrices)
        return lambda v: self._scattered(torch.cholesky_solve(v.double()[self.index], factors)).to(
            v
        )

    def resolvent(self, matrices: Tensor, curvature: Tensor, factor: float) -> Blocks:
        """v ↦ (A + aH)⁻¹Av of matrices A by blocks, (blocks, q, q), a = `factor`, H the blocks of
        `curvature`, (blocks, q m, q m), with the coordinates of a feature side by side. Errors:
        `StepFailed`."""
        blocks, q, m = self.index.shape
        eye = torch.eye(m, dtype=torch.float64, device=self.index.device)
        whole = torch.einsum("bkl,ij->bkilj", matrices, eye).reshape(blocks, q * m, q * m)
        factors = factored(torch.add(whole, curvature, alpha=factor))

        def apply(v: Tensor) -> Tensor:
            right = matrices @ v.double()[self.index]
            solved = torch.cholesky_solve(right.reshape(blocks, q * m, 1), factors)
            return self._scattered(solved.view(blocks, q, m)).to(v)

        return apply

    def _scattered(self, values: Tensor) -> Tensor:
        """Numbers by blocks, (blocks, q, m), in the order of θ."""
        result = values.new_empty(values.numel())
        result[self.index] = values
        return result


def _on_all(matrix: Tensor, index: Tensor) -> Tensor:
    """A matrix on the features of a coordinate, (q, q), on those of all coordinates of all blocks:
    (p, p), the parameters in the order of `index`, (blocks, q, m)."""
    blocks, _, m = index.shape
    one = torch.kron(matrix, torch.eye(m, dtype=matrix.dtype, device=matrix.device))
    return torch.block_diag(*[one] * blocks)


def _coupled(features: LinearFeatures, ensemble: Ensemble, k: int, inverse: MatrixField) -> Tensor:
    """Σᵢ wᵢ JᵢᵀPᵢ⁻¹Jᵢ over the samples of chunk k, (1, p, p) in float64, the parameters in the
    order of `LinearFeatures.index`."""
    value = features.value.double()
    blocks, q, m = features.index.shape
    d = blocks * m
    weights = ensemble.weighted(k, inverse.dense(value.shape[-1], d).double())
    total = value.new_empty(blocks, q, m, blocks, q, m)
    for i in range(d):
        for j in range(d):
            weighted = value[i // m] * weights[:, i, j]
            total[i // m, :, i % m, j // m, :, j % m] = weighted @ value[j // m].T
    return total.view(1, blocks * q * m, blocks * q * m)


def features_of(map: PushForward, z: Tensor) -> LinearFeatures:
    """The features of a map that is linear in θ."""
    features = map.linear_features(z)
    assert features is not None
    return features


def factored(matrices: Tensor) -> Tensor:
    """L of A = LLᵀ for every matrix of a stack, (blocks, k, k). Errors: `StepFailed` where one is
    not positive definite to rounding."""
    factors, failed = torch.linalg.cholesky_ex(matrices)
    if bool((failed > 0).any()) or not bool(factors.isfinite().all()):
        raise StepFailed(
            "the metric of the map's features cannot be factored: features that no sample sees, or "
            "that depend on each other. Take fewer of them, more samples, or a larger method.shift"
        )
    return factors
