"""Kronecker factors E[BᵀB] ⊗ E[aaᵀ] ≈ E[BᵀB ⊗ aaᵀ] of the diagonal block of Ĝ of each layer.

They are exact where B or a is the same for all samples, as B is for the last layer of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .preconditioner import KroneckerFactors
from .subsample import Subsample


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
