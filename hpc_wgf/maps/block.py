"""Block flow: T(x) = x + U tanh(W x + b), h planar layers that act on the same x.

With D = diag(tanh'(Wx + b)), ∇T = I + U D W. For a sample its determinant and inverse cost
O(min(d, h)³):
    det(I_d + U D W) = det(I_h + D K),  K = W U                                      (Sylvester)
    (I_d + U D W)^{-T} = I_d − Wᵀ D (I_h + D K)^{-T} Uᵀ                               (Woodbury)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from ..gpu import LinearizedBlock, LinearizedChain
from . import elimination
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linearization import Linearizer

# (M⁻¹ of the smaller matrix M, score at x, −tanh''(Wx + b)/2 to be overwritten) ↦ score at T(x)
_Carry = Callable[[Tensor, Tensor, Tensor], Tensor]


class BlockFlow(PushForward):
    """T(x) = x + U tanh(W x + b) of width h: W (h, d), b (h,), U (d, h).

    θ = (W, b, U), p = h(2d + 1). At the start U = 0, and W and b are those of `initial_features`,
    which takes the options. A `Composition` stacks several blocks; K blocks of width 1 are a
    planar flow of K layers.

    Errors: `InputError` for features that do not fit the dimension.
    """

    def __init__(
        self,
        dimension: int,
        width: int,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        self._options = options
        W, b = initial_features(width, dimension, **options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.b = nn.Parameter(b.to(torch.get_default_dtype()))
        self.U = nn.Parameter(torch.zeros_like(self.W.T))

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.b, frame, self._options)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "block", "dimension": self.dimension, "width": len(self.W)}

    def forward(self, z: Tensor) -> Tensor:
        return torch.addmm(z, torch.tanh(torch.addmm(self.b, z, self.W.T)), self.U.T)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        a = torch.addmm(self.b, z, self.W.T).tanh_()
        slope = torch.addcmul(a.new_ones(1), a, a, value=-1.0)
        x = torch.addmm(z, a, self.U.T)
        small = self._over_space if self.dimension < self.W.shape[0] else self._over_width
        gradient, carry = small(slope)
        if score is None:
            return Transported(x, *elimination.volume(gradient), None)
        inverse, log_det, positive = elimination.inverse(gradient)
        return Transported(x, log_det, positive, carry(inverse, score, a * slope))

    def _over_space(self, slope: Tensor) -> tuple[Tensor, _Carry]:
        """M = I + U D W = ∇T, (d, d, n), and the score from its inverse."""
        d, h = self.U.shape
        outer = self.U[:, None] * self.W.T  # (i, j, k): u_ik w_kj, so that no (n, h, d) is formed
        gradient = (outer.reshape(d * d, h) @ slope.T).view(d, d, -1)
        gradient.diagonal().add_(1.0)

        def carry(inverse: Tensor, score: Tensor, curvature: Tensor) -> Tensor:
            # ∂_j log det = Σ_k tanh''_k W_kj [W M⁻¹ U]_kk
            turned = outer.transpose(0, 1).reshape(d * d, h)
            diagonal = inverse.reshape(d * d, -1).T @ turned
            inner = torch.addmm(score, curvature.mul_(diagonal), self.W, alpha=2.0)
            return elimination.transposed_times(inverse, inner)

        return gradient, carry

    def _over_width(self, slope: Tensor) -> tuple[Tensor, _Carry]:
        """M = I + D K, (h, h, n), and the score from its inverse."""
        K = self.W @ self.U
        gradient = slope.T[:, None] * K[:, :, None]
        gradient.diagonal().add_(1.0)

        def carry(inverse: Tensor, score: Tensor, curvature: Tensor) -> Tensor:
            # W (I + UDW)⁻¹ U = K M⁻¹
            diagonal = torch.einsum("hi,ihn->nh", K, inverse)
            inner = torch.addmm(score, curvature.mul_(diagonal), self.W, alpha=2.0)
            back = elimination.transposed_times(inverse, inner @ self.U)
            return inner - (slope * back) @ self.W

        return gradient, carry

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _BlockLinearizer(self, workspace)


class _BlockLinearizer(Linearizer):
    """Keeps (x, 1) and a = tanh(Wx + b) of every sample; θ is packed as (W, b) and U."""

    def __init__(self, map: BlockFlow, workspace: Workspace | None) -> None:
        self.W, self.U = map.W.detach().clone(), map.U.detach().clone()
        # Row by row in memory, for a kernel; made here, so that another map refills it.
        self.rows_of_U = self.U.contiguous()
        self.joined = torch.cat([self.W, map.b.detach()[:, None]], 1)
        (h, d), device = self.W.shape, self.W.device
        self.inner = weight_index(h, d, 0, h * d, device)
        self.outer = weight_index(d, h, h * d + h, None, device)
        super().__init__(
            d,
            self.W,
            rows=d + 1 + h,
            shapes=[(h, d + 1), (d, h)],
            places=[self.inner, self.outer],
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _BlockChunk(self, storage)


class _BlockChunk:
    """dT = dx + dU a + U (a' ∘ ds),  ds = dW x + db + W dx."""

    def __init__(self, shared: _BlockLinearizer, storage: Tensor) -> None:
        (h, d), n = shared.W.shape, storage.shape[1]
        self.shared = shared
        self.input, self.a = storage.split_with_sizes([d + 1, h])
        self.change = shared.shared_buffer(0, h, n)
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)

    def fill(self, z: Tensor) -> Tensor:
        self.input[:-1].copy_(z)
        self.input[-1].fill_(1)
        torch.mm(self.shared.joined, self.input, out=self.a).tanh_()
        return torch.addmm(z, self.shared.U, self.a, out=self.out)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        inner, outer = direction
        ds = torch.mm(inner, self.input, out=self.change)
        if dz is not None:
            ds.addmm_(self.shared.W, dz)
        dx = torch.mm(outer, self.a, out=self.out)
        dx.addmm_(self.shared.U, damp_(ds, self.a))
        return dx if dz is None else dx.add_(dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        sum_over_samples(u, self.a, grads[1])
        g = damp_(torch.mm(self.shared.U.T, u, out=self.change), self.a)
        sum_over_samples(g, self.input, grads[0])
        return torch.addmm(u, self.shared.W.T, g, out=self.back) if inputs else None

    def chain(self) -> LinearizedChain:
        """What a fused product needs."""
        W, U = self.shared.W, self.shared.rows_of_U
        return LinearizedChain(None, LinearizedBlock(self.input, self.a, W, U))

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        a = samples_first(self.a)
        hidden = (directions @ self.shared.U).mul_(1 - a[:, None].square())
        layers = [
            ParameterLayer(hidden, samples_first(self.input), self.shared.inner),
            ParameterLayer(directions, a, self.shared.outer, on_outputs=True),
        ]
        return layers, directions + hidden @ self.shared.W if inputs else None
