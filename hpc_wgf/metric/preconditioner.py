"""Preconditioners M ≈ Ĝ + εI of the shifted metric, factored as M = L Lᵀ in float64.

M⁻¹ is applied as L⁻ᵀ(L⁻¹ v) with the same rounded factor twice: symmetric and positive in any
precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

_NOISE = 500.0  # measured best between 200 and 2000, for q/m from 0.1 to 0.3
_KRONECKER_DAMPING = 3e-4  # of ‖Ĝ‖; measured best between 1e-4 and 1e-3


class Preconditioner(Protocol):
    """M⁻¹ and its factors, on vectors of length p."""

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
    """What is known of Ĝ: from it a preconditioner is made for any shift."""

    @property
    def norm(self) -> float:
        """The largest eigenvalue."""
        ...

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """The preconditioner of Ĝ + εI for vectors of `dtype`."""
        ...


class Symmetric(Protocol):
    """M^{−½}, symmetric."""

    def solve_upper(self, v: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class DiagonalBlocks:
    """Diagonal blocks of Ĝ. `matrices`: (q, q) each, float64; `indices`: their places in θ;
    `rows`: of J that they are the mean of, m. The fewer rows, the less the small eigenvalues are
    worth: M takes the larger shift ε(1 + 500 (q/m)²), which also lets it last for longer."""

    matrices: Sequence[Tensor]
    indices: Sequence[Tensor]
    rows: float = math.inf

    @cached_property
    def norm(self) -> float:
        return float(torch.stack([_norm(matrix) for matrix in self.matrices]).max())

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        """By Cholesky; where the subsample leaves a block too near to singular for it, its own
        shift is raised tenfold until it can be factored."""
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
    """Blocks of equal size stacked: `inverses` L⁻¹, (number, q, q); `indices` (number, q)."""

    inverses: Sequence[Tensor]
    indices: Sequence[Tensor]

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_lower(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        return self._apply(v, [inverse.mT for inverse in self.inverses])

    def solve_lower(self, v: Tensor) -> Tensor:
        return self._apply(v, self.inverses)

    def _apply(self, v: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        result = torch.empty_like(v)
        for matrix, index in zip(matrices, self.indices, strict=True):
            # As a row from the left: a batch of columns takes MKL four times as long.
            result[index] = (v[index][:, None, :] @ matrix.mT)[:, 0]
        return result


def _inverse_factors(matrices: Tensor, shift: float, dtype: torch.dtype) -> Tensor:
    """L⁻¹ of A + εI = L Lᵀ for every A of a stack, (number, q, q); not a number where A is not
    finite, which the solve then reports."""
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
    """Per layer E[BᵀB] ⊗ E[aaᵀ], each factor by its eigenvalues and eigenvectors: of `outer`
    (h,), (h, h) and of `inner` (k,), (k, k). `indices`: (h, k), places in θ."""

    outer: Sequence[tuple[Tensor, Tensor]]
    inner: Sequence[tuple[Tensor, Tensor]]
    indices: Sequence[Tensor]

    @classmethod
    def of(
        cls, pairs: Sequence[tuple[Tensor, Tensor]], indices: Sequence[Tensor]
    ) -> KroneckerFactors:
        """From the factors (E[BᵀB], E[aaᵀ]) of every layer, float64."""
        outer = [_eigen(B) for B, _ in pairs]
        return cls(outer, [_eigen(A) for _, A in pairs], indices)

    @property
    def norm(self) -> float:
        pairs = zip(self.outer, self.inner, strict=True)
        return max(float(B[0][-1] * A[0][-1]) for B, A in pairs)

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        # What the factors miss is far larger than ε: dividing by less would magnify it.
        parts, shift = [], max(shift, _KRONECKER_DAMPING * self.norm)
        for (mu, P), (nu, Q), index in zip(self.outer, self.inner, self.indices, strict=True):
            scale = (mu[:, None] * nu[None, :] + shift).rsqrt()
            parts.append((P.to(dtype), scale.to(dtype), Q.to(dtype), index))
        return _Kronecker(parts)


@dataclass(frozen=True)
class _Kronecker:
    """M^{−½} W = P ((Pᵀ W Q) / √(μ ⊗ ν + ε)) Qᵀ in every layer."""

    parts: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]

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
    """Ĝ ≈ U Λ Uᵀ, U (p, r) orthonormal, Λ (r,) falling: Nyström's approximation.

    M = U (Λ + ε) Uᵀ + (λ_r + ε)(I − U Uᵀ) (Z. Frangella, J. A. Tropp, M. Udell, SIAM J. Matrix
    Anal. Appl. 44 (2023) 718, eq. 5.3, times λ_r + ε)."""

    values: Tensor
    vectors: Tensor

    @property
    def norm(self) -> float:
        return float(self.values[0])

    def shifted(self, shift: float, dtype: torch.dtype) -> Preconditioner:
        shift = max(shift, 1e-15 * self.norm)
        scale = ((self.values[-1] + shift) / (self.values + shift)).sqrt()
        return _LowRank((scale - 1).to(dtype), self.vectors.to(dtype))


@dataclass(frozen=True)
class _LowRank:
    """M^{−½} v = v + U (s − 1) Uᵀ v, but for a common factor."""

    scale: Tensor
    vectors: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        return self.solve_upper(self.solve_upper(v))

    def solve_upper(self, v: Tensor) -> Tensor:
        return torch.addmv(v, self.vectors, self.scale * (self.vectors.T @ v))

    solve_lower = solve_upper


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0.0), vectors


def _norm(matrix: Tensor) -> Tensor:
    """Largest eigenvalue of a positive matrix by power iterations, to a few per cent; 0-d."""
    v = torch.ones(len(matrix), dtype=matrix.dtype, device=matrix.device)
    v = v + 0.1 * torch.arange(len(v), dtype=v.dtype, device=v.device).sin()
    for _ in range(12):
        v = matrix @ (v / v.norm())
    return v.norm()
