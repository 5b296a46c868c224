"""Kronecker factors E[BᵀB] ⊗ E[aaᵀ] ≈ E[BᵀB ⊗ aaᵀ] of the diagonal block of Ĝ of each layer.

They are exact where B or a is the same for all samples, as B is for the last layer of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .preconditioner import Preconditioner
from .subsample import Subsample

# A part of ‖Ĝ‖; by measurement, values from 1e-4 to 1e-3 are about equally good.
_KRONECKER_DAMPING = 3e-4


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


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0.0), vectors


def kronecker_factors(sample: Subsample, layers: Sequence[ParameterLayer]) -> KroneckerFactors:
    """E[BᵀB], (h, h), and E[aaᵀ], (k, k), of every layer over the subsample of all ranks.

    B and a are `sensitivity` and `input` of `ParameterLayer`. `layers`: those of `layers_at`, for
    their shapes and places in θ. Collective.
    """

    def add(total: Tensor, chunk: Sequence[ParameterLayer]) -> None:
        factors = [factor for layer in chunk for factor in _factors(layer.double())]
        total += torch.cat([factor.reshape(-1) for factor in factors])

    shapes = [shape for layer in layers for shape in (layer.index.shape[0], layer.index.shape[1])]
    flat = sample.mean(add, [sum(q * q for q in shapes)])
    parts = flat.split([q * q for q in shapes])
    matrices = [part.view(q, q) for part, q in zip(parts, shapes, strict=True)]
    pairs = list(zip(matrices[::2], matrices[1::2], strict=True))
    return KroneckerFactors.of(pairs, [layer.index for layer in layers])


def _factors(layer: ParameterLayer) -> tuple[Tensor, Tensor]:
    """Σ BᵀB, (h, h), and Σ aaᵀ, (k, k), over the samples of a chunk."""
    rows = layer.sensitivity.flatten(0, 1)
    return rows.T @ rows, layer.input.T @ layer.input
