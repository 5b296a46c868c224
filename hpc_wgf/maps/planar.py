"""Planar flow: T = f_K ∘ … ∘ f_1, f_k(x) = x + u_k tanh(w_k·x + b_k) [PWGF (5.2)]."""

from __future__ import annotations

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
    weight_index,
)
from .features import FeatureOptions, initial_features


class PlanarFlow(PushForward):
    """K planar layers. θ = (W (K, d), b (K,), U (K, d)), p = K(2d + 1); U = 0 at the start."""

    def __init__(
        self,
        dimension: int,
        layers: int,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        W, b = initial_features(layers, dimension, **options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.b = nn.Parameter(b.to(torch.get_default_dtype()))
        self.U = nn.Parameter(torch.zeros_like(self.W))

    def forward(self, z: Tensor) -> Tensor:
        x = z
        for w, b, u in zip(self.W, self.b, self.U, strict=True):
            x = x + torch.outer(torch.tanh(x @ w + b), u)
        return x

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        """Per layer, with a = tanh(w·x + b), a' = 1 − a², a'' = −2aa', g = w·u:
        det = 1 + a'g;  s ← s − w a''g/det;  s ← s − w a'(u·s)/det."""
        x = z
        log_det = torch.zeros_like(z[:, 0])
        positive = torch.ones_like(log_det, dtype=torch.bool)
        for w, b, u in zip(self.W, self.b, self.U, strict=True):
            a = torch.tanh(x @ w + b)
            slope, g = 1 - a * a, torch.dot(w, u)
            det = 1 + slope * g
            log_det = log_det + det.abs().log()
            positive = positive & (det > 0)
            if score is not None:
                score = score + torch.outer(2 * a * slope * g / det, w)
                score = score - torch.outer(slope * (score @ u) / det, w)
            x = x + torch.outer(a, u)
        return Transported(x, log_det, positive, score)

    @torch.no_grad()
    def linearize(self, z: Tensor) -> Linearization:
        K, x = self.W.shape[0], z
        a = z.new_empty(K, z.shape[0])
        for k in range(K):
            torch.tanh(x @ self.W[k] + self.b[k], out=a[k])
            x = x + torch.outer(a[k], self.U[k])
        parameters = (self.W.detach().clone(), self.U.detach().clone())
        return _PlanarLinearization(self, z, a, 1 - a * a, *parameters)


@dataclass(frozen=True)
class _PlanarLinearization:
    """All layers at once, samples in the last axis.

    x_k = z + Σ_{j<k} a_j u_j, so the change of the pre-activations solves the triangular system
        ds_k = e_k + Σ_{j<k} (u_j·w_k) a'_j ds_j,
        e_k = z·dw_k + db_k + w_k·dz + Σ_{j<k} a_j (u_j·dw_k + du_j·w_k),
    and dT = dz + Σ_k a_k du_k + (a'_k ds_k) u_k. The transpose runs the recursion backwards.
    """

    map: PlanarFlow
    z: Tensor  # (n, d)
    a: Tensor  # (K, n)
    slope: Tensor  # (K, n)
    W: Tensor
    U: Tensor

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        dW, db, dU = self.map.split(v)
        mixed = torch.triu(self.U @ dW.T + dU @ self.W.T, 1)
        e = torch.addmm(torch.addmm(db[:, None], dW, self.z.T), mixed.T, self.a)
        if dz is not None:
            e.addmm_(self.W, dz.T)
        coupling = self.U @ self.W.T
        e[0].mul_(self.slope[0])
        for k in range(1, e.shape[0]):
            e[k].addmv_(e[:k].T, coupling[:k, k]).mul_(self.slope[k])
        dx = self.a.T @ dU
        dx.addmm_(e.T, self.U)
        return dx if dz is None else dx.add_(dz)

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        coupling = self.U @ self.W.T
        e = self.U @ u.T
        e[-1].mul_(self.slope[-1])
        for k in range(e.shape[0] - 2, -1, -1):
            e[k].addmv_(e[k + 1 :].T, coupling[k, k + 1 :]).mul_(self.slope[k])
        mixed = torch.triu(self.a @ e.T, 1)
        dW = torch.addmm(e @ self.z, mixed.T, self.U)
        dU = torch.addmm(self.a @ u, mixed, self.W)
        return flatten(dW, e.sum(1), dU), torch.addmm(u, e.T, self.W) if inputs else None

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        """All of θ as one layer with the input 1: its sensitivity is eᵀJ itself."""
        (K, d), n = self.W.shape, self.z.shape[0]
        back, count = directions.clone(), directions.shape[1]
        rows = self.z.new_empty(n, count, K * (2 * d + 1))
        for_W, for_b, for_U = rows.split([K * d, K, K * d], dim=2)
        x = self.z + self.a.T @ self.U
        for k in range(K - 1, -1, -1):
            a, slope = self.a[k][:, None, None], self.slope[k][:, None]
            x = x - torch.outer(self.a[k], self.U[k])
            for_U[:, :, k * d : (k + 1) * d] = a * back
            along = slope * (back @ self.U[k])
            for_b[:, :, k] = along
            for_W[:, :, k * d : (k + 1) * d] = along[:, :, None] * x[:, None]
            back = back + along[:, :, None] * self.W[k]
        index = weight_index(rows.shape[2], 1, 0, None, rows.device)
        return [ParameterLayer(rows, torch.ones_like(x[:, :1]), index)], back
