"""Preconditioners M ≈ Ĝ + εI of the shifted metric, factored as M = L Lᵀ in float64.

M⁻¹ v is L⁻ᵀ(L⁻¹ v) with the same rounded factor twice, so that it is symmetric and positive
definite in any precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

# By measurement, values from 200 to 2000 are about equally good for q/m from 0.1 to 0.3.
_NOISE = 500.0
# A part of ‖Ĝ‖; by measurement, values from 1e-4 to 1e-3 are about equally good.
_KRONECKER_DAMPING = 3e-4


class Preconditioner(Protocol):
    """M⁻¹ = L⁻ᵀ L⁻¹ of a symmetric positive definite M = L Lᵀ, (p, p), as products with vectors."""

    def __call__(self, v: Tensor) -> Tensor:
        """M⁻¹ v, (p,) → (p,)."""
        ...

    def solve_upper(self, v: Tensor) -> Tensor:
        """L⁻ᵀ v, (p,) → (p,)."""
        ...

    def solve_lower(self, v: Tensor) -> Tensor:
        """L⁻¹ v, (p,) → (p,)."""
        ...


class GramModel(Protocol):
    """An approximation of Ĝ, from which preconditioners of Ĝ + εI are made for any ε."""

    @property
    def norm(self) -> float:
        """‖Ĝ‖, the largest eigenvalue of the approximation."""
        ...

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """The preconditioner of Ĝ + εI, ε = `shift`, for vectors of `dtype`."""
        ...


class Symmetric(Protocol):
    """M^{−½}, symmetric."""

    def solve_upper(self, v: Tensor) -> Tensor:
        """M^{−½} v, (p,) → (p,)."""
        ...


@dataclass(frozen=True)
class DiagonalBlocks:
    """Ĝ ≈ its diagonal blocks, each the mean over m rows of J.

    The fewer rows, the larger the errors of the small eigenvalues. A block of q parameters takes
    the larger shift ε(1 + 500 (q/m)²) therefore, with which it also serves at more values of θ.
    """

    matrices: Sequence[Tensor]
    """The blocks, (q, q) each, in float64."""
    indices: Sequence[Tensor]
    """The places in θ of the parameters of each block, (q,) each."""
    rows: float = math.inf
    """m; infinite for exact blocks."""

    @cached_property
    def norm(self) -> float:
        return float(torch.stack([_norm(matrix) for matrix in self.matrices]).max())

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """M = L Lᵀ by Cholesky factorisation, block by block.

        The shift of a block that rounding makes indefinite is raised tenfold until it can be
        factored.
        """
        groups: dict[int, list[int]] = {}
        for k, matrix in enumerate(self.matrices):
            groups.setdefault(len(matrix), []).append(k)
        inverses, indices = [], []
        for size, group in groups.items():
            stacked = torch.stack([self.matrices[k] for k in group])
            inverses.append(_inverse_factors(stacked, shift * self._damping(size), dtype))
            indices.append(torch.stack([self.indices[k] for k in group]))
        return _BlockCholesky(inverses, indices)

    def _damping(self, size: int) -> float:
        return 1.0 + _NOISE * (size / self.rows) ** 2


@dataclass(frozen=True)
class _BlockCholesky:
    """M⁻¹ = L⁻ᵀ L⁻¹ by the inverse factors of blocks, those of equal size stacked."""

    inverses: Sequence[Tensor]
    """L⁻¹ of the blocks of each size q, (number, q, q)."""
    indices: Sequence[Tensor]
    """Their places in θ, (number, q)."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_lower(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        return self._apply(v, [inverse.mT for inverse in self.inverses])

    def solve_lower(self, v: Tensor) -> Tensor:
        return self._apply(v, self.inverses)

    def _apply(self, v: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        result = torch.empty_like(v)
        for matrix, index in zip(matrices, self.indices, strict=True):
            # Vectors are rows, as products with a batch of columns take MKL four times as long.
            result[index] = (v[index][:, None, :] @ matrix.mT)[:, 0]
        return result


def _inverse_factors(matrices: Tensor, shift: float, dtype: torch.dtype) -> Tensor:
    """L⁻¹ of A + εI = L Lᵀ for every A of a stack, (number, q, q).

    It is not a number where A is not finite, which the solve then reports.
    """
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    shifts = (1e-15 * diagonal.amax(1)).clamp(min=shift)
    while True:
        shifted = matrices.clone()
        shifted.diagonal(dim1=1, dim2=2).add_(shifts[:, None])
        factors, failed = torch.linalg.cholesky_ex(shifted)
        failed = (failed > 0) & shifts.isfinite()
        if not bool(failed.any()):
            eye = torch.eye(matrices.shape[1], dtype=dtype, device=matrices.device)
            return torch.linalg.solve_triangular(factors.to(dtype), eye, upper=False)
        shifts = torch.where(failed, 10.0 * shifts, shifts)


@dataclass(frozen=True)
class KroneckerFactors:
    """Ĝ ≈ one block E[BᵀB] ⊗ E[aaᵀ] for each layer, by eigenvalues and eigenvectors of the factors.

    The shift of M is at least 3·10⁻⁴ ‖Ĝ‖: what the factors miss is far larger than ε.
    """

    outer: Sequence[tuple[Tensor, Tensor]]
    """Eigenvalues μ, (h,), rising, and eigenvectors, (h, h), of E[BᵀB] for every layer."""
    inner: Sequence[tuple[Tensor, Tensor]]
    """Eigenvalues ν, (k,), rising, and eigenvectors, (k, k), of E[aaᵀ] for every layer."""
    indices: Sequence[Tensor]
    """The places in θ of every layer's weights, (h, k)."""

    @classmethod
    def of(
        cls, pairs: Sequence[tuple[Tensor, Tensor]], indices: Sequence[Tensor]
    ) -> KroneckerFactors:
        """The approximation from the factors (E[BᵀB], E[aaᵀ]) of every layer, in float64.

        `indices`: the places in θ of every layer's weights, (h, k).
        """
        outer = [_eigen(B) for B, _ in pairs]
        return cls(outer, [_eigen(A) for _, A in pairs], indices)

    @property
    def norm(self) -> float:
        pairs = zip(self.outer, self.inner, strict=True)
        return max(float(B[0][-1] * A[0][-1]) for B, A in pairs)

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        # What the factors miss is far larger than ε, and dividing by less would magnify it.
        parts, shift = [], max(shift, _KRONECKER_DAMPING * self.norm)
        for (mu, P), (nu, Q), index in zip(self.outer, self.inner, self.indices, strict=True):
            scale = (mu[:, None] * nu[None, :] + shift).rsqrt()
            parts.append((P.to(dtype), scale.to(dtype), Q.to(dtype), index))
        return _Kronecker(parts)


@dataclass(frozen=True)
class _Kronecker:
    """M^{−½} W = P ((Pᵀ W Q) / √(μ ⊗ ν + ε)) Qᵀ in every layer."""

    parts: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]
    """For every layer P (h, h), 1/√(μ ⊗ ν + ε) (h, k), Q (k, k), and the places in θ (h, k)."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_upper(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        result = torch.empty_like(v)
        for P, scale, Q, index in self.parts:
            result[index] = P @ ((P.T @ v[index] @ Q) * scale) @ Q.T
        return result

    solve_lower = solve_upper


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


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0.0), vectors


def _norm(matrix: Tensor) -> Tensor:
    """The largest eigenvalue of a positive matrix by power iterations, to a few per cent, 0-d."""
    v = torch.ones(len(matrix), dtype=matrix.dtype, device=matrix.device)
    v = v + 0.1 * torch.arange(len(v), dtype=v.dtype, device=v.device).sin()
    for _ in range(12):
        v = matrix @ (v / v.norm())
    return v.norm()
