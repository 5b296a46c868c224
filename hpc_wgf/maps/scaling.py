"""Scaling map: T(z) = z + a ∘ z + b, coordinate by coordinate; a = 0 and b = 0 at the start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace
from .layer import ParameterLayer, weight_index
from .linearization import Linearizer


class Scaling(PushForward):
    """T(z) = z + a ∘ z + b: the affine part of a flow whose coordinates do not talk to each other,
    with 2d parameters θ = (a, b) in place of d² + d."""

    coordinates_alone = True

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.a = nn.Parameter(torch.zeros(dimension))
        self.b = nn.Parameter(torch.zeros(dimension))

    def architecture(self) -> dict[str, Any]:
        return {"kind": "scaling", "dimension": self.dimension}

    def forward(self, z: Tensor) -> Tensor:
        return z + (self.a * z + self.b)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        n, factors = len(z), 1 + self.a
        log_det = factors.abs().log().sum().expand(n)
        positive = (factors.prod() > 0).expand(n)
        carried = None if score is None else score / factors
        return Transported(self(z), log_det, positive, carried)

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _ScalingLinearizer(self, workspace)


class _ScalingLinearizer(Linearizer):
    """Keeps z of every sample; θ is packed as the matrix of rows a and b."""

    def __init__(self, map: Scaling, workspace: Workspace | None) -> None:
        d = map.dimension
        self.factors = (1 + map.a).detach()[:, None]
        self.shift = map.b.detach().clone()[:, None]
        order = torch.arange(2 * d, device=map.a.device).view(2, d)
        super().__init__(d, map.a, rows=d, shapes=[(2, d)], places=[order], workspace=workspace)

    def chunk(self, storage: Tensor) -> Chunk:
        return _ScalingChunk(self, storage)


class _ScalingChunk:
    """dT = da ∘ z + db + (1 + a) ∘ dz."""

    def __init__(self, shared: _ScalingLinearizer, storage: Tensor) -> None:
        d, n = storage.shape
        self.shared, self.z = shared, storage
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)
        self.product = shared.shared_buffer(0, d, n)

    def fill(self, z: Tensor) -> Tensor:
        self.z.copy_(z)
        return torch.addcmul(self.shared.shift, self.shared.factors, z, out=self.out)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        da, db = direction[0]
        dx = torch.addcmul(db[:, None], da[:, None], self.z, out=self.out)
        return dx if dz is None else dx.addcmul_(self.shared.factors, dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        grads[0][0].copy_(torch.mul(u, self.z, out=self.product).sum(1))
        grads[0][1].copy_(u.sum(1))
        return torch.mul(self.shared.factors, u, out=self.back) if inputs else None

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """All of θ as one layer with the input 1: its sensitivity is eᵀJ itself."""
        rows = torch.cat([directions * self.z.T[:, None], directions], 2)
        index = weight_index(rows.shape[2], 1, 0, None, rows.device)
        layer = ParameterLayer(rows, torch.ones_like(rows[:, 0, :1]), index)
        return [layer], directions * self.shared.factors[:, 0]
