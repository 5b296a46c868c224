"""Maps that are linear in their parameters: T_θ(z) = z + Σ_k c_k φ_k(z), with features φ_k that
depend on no parameter. Their metric is that of the features, the same for all θ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearFeatures:
    """The features of a map at n samples. The coordinates fall into blocks of m consecutive ones,
    those of block B with features of their own:

        T_i(z) = z_i + Σ_k φ_k(z) c_ki  for the coordinates i of B, 1 ≤ k ≤ q.

    Axis splines have d blocks of one coordinate, each with functions of that coordinate alone."""

    value: Tensor
    """φ_k(z), (blocks, q, n)."""
    slope: Tensor
    """∂φ_k/∂z_i for the coordinates i of the block, (blocks, q, m, n). Those by other coordinates
    are 0."""
    index: Tensor
    """The place of c_ki in θ, (blocks, q, m)."""
    roughness: Tensor | None = None
    """R ≥ 0, (q, q), with cᵀRc a measure of how rough Σ_k c_k φ_k is; None where there is none."""
    damping: Tensor | None = None
    """δ_k ≥ 0, (q,), in units of φ_k²: motions along features whose mean square is less are damped.
    None for none."""

    def jacobian(self, theta: Tensor) -> Tensor:
        """∂T_i/∂z_j for the coordinates i, j of each block, (blocks, m, m, n); θ: (p,)."""
        m = self.index.shape[2]
        change = torch.einsum("bki,bkjn->bijn", theta[self.index], self.slope)
        return change + torch.eye(m, dtype=theta.dtype, device=theta.device)[None, :, :, None]
