"""Affine map: T(z) = z + A z + b, A = 0 and b = 0 at the start."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..gpu import LinearizedChain
from .base import PushForward, Transport, Transported, identity_like, signed_volume
from .chunk import Chunk, Matrices, Workspace, sum_over_samples
from .factors import Factors
from .layer import ParameterLayer, samples_first, weight_index
from .linear import LinearFeatures
from .linearization import Linearizer


class Affine(PushForward):
    """T(z) = z + A z + b, A (d, d), b (d,). It maps Gaussians to Gaussians.

    θ = (A, b), p = d² + d.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.A = nn.Parameter(torch.zeros(dimension, dimension))
        self.b = nn.Parameter(torch.zeros(dimension))

    def architecture(self) -> dict[str, Any]:
        return {"kind": "affine", "dimension": self.dimension}

    def _gradient(self) -> Tensor:
        return self.A + identity_like(self.A)

    def forward(self, z: Tensor) -> Tensor:
        return z + torch.addmm(self.b, z, self.A.T)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return self.transporter()(z, score)

    def transporter(self) -> Transport:
        gradient = self._gradient()
        factors = Factors.of(gradient) if gradient.is_cuda else None
        if factors is None:
            log_det, positive = signed_volume(gradient)
        else:
            log_det, positive = factors.log_abs, factors.positive

        @cache
        def inverse() -> Tensor:
            # On a CPU products with it are faster than the solves of LAPACK, chunk by chunk.
            return torch.linalg.inv_ex(gradient).inverse

        def transport(z: Tensor, score: Tensor | None) -> Transported:
            if score is not None and factors is not None:
                score = factors.solve_transposed(score.T).T
            elif score is not None:
                score = score @ inverse()
            n = z.shape[0]
            return Transported(self(z), log_det.expand(n), positive.expand(n), score)

        return transport

    def linear_features(self, z: Tensor) -> LinearFeatures:
        n, d = z.shape
        index = weight_index(d, d, 0, d * d, z.device)
        slope = torch.cat([identity_like(z), z.new_zeros(1, d)])
        return LinearFeatures(
            torch.cat([z.T, z.new_ones(1, n)])[None],
            slope[None, :, :, None].expand(1, d + 1, d, n),
            index.T[None],
        )

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _AffineLinearizer(self, workspace)


class _AffineLinearizer(Linearizer):
    """Keeps (z, 1) of every sample; θ is packed as the matrix (A, b)."""

    def __init__(self, map: Affine, workspace: Workspace | None) -> None:
        d = map.dimension
        self.gradient = map._gradient().detach()
        self.joined = torch.cat([map.A, map.b[:, None]], 1).detach()
        self.places = weight_index(d, d, 0, d * d, map.A.device)
        super().__init__(
            d,
            self.gradient,
            rows=d + 1,
            shapes=[(d, d + 1)],
            places=[self.places],
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _AffineChunk(self, storage)


class _AffineChunk:
    """dT = dA z + db + (I + A) dz."""

    def __init__(self, shared: _AffineLinearizer, storage: Tensor) -> None:
        d, n = shared.dimension, storage.shape[1]
        self.shared, self.input = shared, storage
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)

    def fill(self, z: Tensor) -> Tensor:
        self.input[:-1].copy_(z)
        self.input[-1].fill_(1)
        return torch.addmm(z, self.shared.joined, self.input, out=self.out)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        dx = torch.mm(direction[0], self.input, out=self.out)
        return dx if dz is None else dx.addmm_(self.shared.gradient, dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        sum_over_samples(u, self.input, grads[0])
        return torch.mm(self.shared.gradient.T, u, out=self.back) if inputs else None

    def chain(self) -> LinearizedChain:
        """What a fused product needs."""
        return LinearizedChain(self.input, None)

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        input = samples_first(self.input)
        layer = ParameterLayer(directions, input, self.shared.places, on_outputs=True)
        return [layer], directions @ self.shared.gradient if inputs else None
