"""Affine map: T(z) = z + A z + b, A = 0 and b = 0 at the start."""

from __future__ import annotations

from dataclasses import dataclass

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


class Affine(PushForward):
    """T(z) = z + A z + b: carries Gaussians to Gaussians. θ = (A, b), p = d² + d."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.A = nn.Parameter(torch.zeros(dimension, dimension))
        self.b = nn.Parameter(torch.zeros(dimension))

    def _gradient(self) -> Tensor:
        return self.A + identity_like(self.A)

    def forward(self, z: Tensor) -> Tensor:
        return z + torch.addmm(self.b, z, self.A.T)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        gradient = self._gradient()
        log_det, positive = signed_volume(gradient)
        if score is not None:
            score = torch.linalg.solve_ex(gradient.T, score.T).result.T
        n = z.shape[0]
        return Transported(self(z), log_det.expand(n), positive.expand(n), score)

    def linearize(self, z: Tensor) -> Linearization:
        return _AffineLinearization(self, z, self._gradient().detach())


@dataclass(frozen=True)
class _AffineLinearization:
    map: Affine
    z: Tensor
    gradient: Tensor

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        dA, db = self.map.split(v)
        dx = torch.addmm(db, self.z, dA.T)
        return dx if dz is None else dx.addmm_(dz, self.gradient.T)

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        return flatten(u.T @ self.z, u.sum(0)), u @ self.gradient if inputs else None

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        d = self.z.shape[1]
        index = weight_index(d, d, 0, d * d, self.z.device)
        layer = ParameterLayer(directions, with_one(self.z), index)
        return [layer], directions @ self.gradient
