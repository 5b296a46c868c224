"""Kronecker factors E[BᵀB] ⊗ E[aaᵀ] of the layers' diagonal blocks: exact where B or a is the same
for all samples, as for the last layer of a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..maps import ParameterLayer
from .preconditioner import KroneckerFactors
from .subsample import Subsample


def kronecker_factors(sample: Subsample, layers: Sequence[ParameterLayer]) -> KroneckerFactors:
    """Of every layer over the subsample; `layers`: of any of its samples."""

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
    """(Σ BᵀB, Σ aaᵀ)."""
    rows = layer.sensitivity.flatten(0, 1)
    return rows.T @ rows, layer.input.T @ layer.input
