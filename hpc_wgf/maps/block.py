"""Block flow: T(x) = x + U tanh(W x + b), a planar flow's layers side by side.

With D = diag(tanh'(Wx + b)), ∇T = I + U D W. Determinant and inverse cost min(d, h)³ a sample:
    det(I_d + U D W) = det(I_h + D K),  K = W U                                      (Sylvester)
    (I_d + U D W)^{-T} = I_d − Wᵀ D (I_h + D K)^{-T} Uᵀ                               (Woodbury)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from .base import (
    Linearization,
    ParameterLayer,
    PushForward,
    Transported,
    flatten,
    identity_like,
    signed_volume,
    weight_index,
    with_one,
)
from .features import FeatureOptions, initial_features

# (inverse of the small matrix, score, tanh'' at the pre-activations) ↦ carried score
_Carry = Callable[[Tensor, Tensor, Tensor], Tensor]


class BlockFlow(PushForward):
    """One block of width h. θ = (W (h, d), b (h,), U (d, h)), p = h(2d + 1); U = 0 at the start.

    Stack several in a `Composition`; K blocks of width 1 are a planar flow.
    """

    def __init__(
        self,
        dimension: int,
        width: int,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        W, b = initial_features(width, dimension, **options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.b = nn.Parameter(b.to(torch.get_default_dtype()))
        self.U = nn.Parameter(torch.zeros_like(self.W.T))

    def forward(self, z: Tensor) -> Tensor:
        return torch.addmm(z, torch.tanh(torch.addmm(self.b, z, self.W.T)), self.U.T)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        a = torch.tanh(torch.addmm(self.b, z, self.W.T))
        slope = 1 - a * a
        x = torch.addmm(z, a, self.U.T)
        small = self._over_space if self.dimension < self.W.shape[0] else self._over_width
        gradient, carry = small(slope)
        log_det, positive = signed_volume(gradient)
        if score is not None:
            inverse = torch.linalg.inv_ex(gradient).inverse
            score = carry(inverse, score, -2 * a * slope)
        return Transported(x, log_det, positive, score)

    def _over_space(self, slope: Tensor) -> tuple[Tensor, _Carry]:
        """The d × d form: M = I + U D W."""
        weighted = slope[:, :, None] * self.W  # (n, h, d)
        gradient = self.U @ weighted + identity_like(self.U.T)

        def carry(inverse: Tensor, score: Tensor, curvature: Tensor) -> Tensor:
            # ∂_j log det = Σ_k tanh''_k W_kj [W M⁻¹ U]_kk
            diagonal = torch.einsum("nhi,hi->nh", self.W @ inverse, self.U.T)
            inner = score - (curvature * diagonal) @ self.W
            return torch.einsum("nij,ni->nj", inverse, inner)

        return gradient, carry

    def _over_width(self, slope: Tensor) -> tuple[Tensor, _Carry]:
        """The h × h form: M = I + D K."""
        K = self.W @ self.U
        gradient = slope[:, :, None] * K + identity_like(K)

        def carry(inverse: Tensor, score: Tensor, curvature: Tensor) -> Tensor:
            # W (I + UDW)⁻¹ U = K M⁻¹
            diagonal = torch.einsum("hi,nih->nh", K, inverse)
            inner = score - (curvature * diagonal) @ self.W
            back = torch.einsum("nij,ni->nj", inverse, inner @ self.U)
            return inner - (slope * back) @ self.W

        return gradient, carry

    @torch.no_grad()
    def linearize(self, z: Tensor) -> Linearization:
        a = torch.tanh(torch.addmm(self.b, z, self.W.T))
        return _BlockLinearization(
            self, z, a, 1 - a * a, self.W.detach().clone(), self.U.detach().clone()
        )


@dataclass(frozen=True)
class _BlockLinearization:
    """dT = dx + a dUᵀ + (a' ∘ ds) Uᵀ,  ds = x dWᵀ + db + dx Wᵀ."""

    map: BlockFlow
    x: Tensor  # (n, d)
    a: Tensor  # (n, h)
    slope: Tensor  # (n, h)
    W: Tensor
    U: Tensor

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        dW, db, dU = self.map.split(v)
        ds = torch.addmm(db, self.x, dW.T)
        if dz is not None:
            ds.addmm_(dz, self.W.T)
        dx = self.a @ dU.T
        dx.addmm_(ds.mul_(self.slope), self.U.T)
        return dx if dz is None else dx.add_(dz)

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        g = (u @ self.U).mul_(self.slope)
        grad = flatten(g.T @ self.x, g.sum(0), u.T @ self.a)
        return grad, torch.addmm(u, g, self.W) if inputs else None

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        (h, d), device = self.W.shape, self.x.device
        hidden = (directions @ self.U).mul_(self.slope[:, None])
        inner = weight_index(h, d, 0, h * d, device)
        outer = weight_index(d, h, h * d + h, None, device)
        layers = [
            ParameterLayer(hidden, with_one(self.x), inner),
            ParameterLayer(directions, self.a, outer),
        ]
        return layers, directions + hidden @ self.W
