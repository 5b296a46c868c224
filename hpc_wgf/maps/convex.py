"""The gradient of a convex function: T = ∇φ with a network of one layer.

    φ(z) = ½|z|² + ½ z·Az + b·z + Σ_k a_k log cosh(w_k·z + c_k),
    ∇T = ∇²φ = M = I + A + Wᵀ diag(a ∘ tanh'(Wz + c)) W,   ∂_j log det M = Σ_k a_k tanh''_k w_kj
    w_k·M⁻¹w_k.
Optimal maps between densities are of this form (Y. Brenier, Comm. Pure Appl. Math. 44 (1991) 375).
"""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn

from . import elimination
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .layer import ParameterLayer, rows_as_layer, samples_first, weight_index
from .linearization import Linearizer


class ConvexGradient(PushForward):
    """T(z) = z + A z + b + Wᵀ(a ∘ tanh(W z + c)) with a symmetric A, of width h.

    θ = (W (h, d), c (h,), a (h,), b (d,), A by its lower triangle, row by row), p = h (d + 2) + d +
    d (d + 1)/2. At the start A = a = b = 0; the options are those of `initial_features`. A sample
    counts as folded (`positive` is False) where ∇T is not positive definite, so that φ is not
    convex there.

    Errors: `InputError` for features that do not fit the dimension.
    """

    def __init__(self, dimension: int, width: int, **options: Unpack[FeatureOptions]) -> None:
        super().__init__(dimension)
        self._options = options
        W, c = initial_features(width, dimension, **options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.c = nn.Parameter(c.to(torch.get_default_dtype()))
        self.a = nn.Parameter(torch.zeros(width))
        self.b = nn.Parameter(torch.zeros(dimension))
        self.lower = nn.Parameter(torch.zeros(dimension * (dimension + 1) // 2))

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.c, frame, self._options)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "convex", "dimension": self.dimension, "width": len(self.W)}

    def linear_part(self) -> Tensor:
        """I + A, (d, d)."""
        A = symmetric(self.lower, self.dimension)
        return A + torch.eye(self.dimension, dtype=A.dtype, device=A.device)

    def forward(self, z: Tensor) -> Tensor:
        return self._image(z, torch.tanh(torch.addmm(self.c, z, self.W.T)))

    def _image(self, z: Tensor, t: Tensor) -> Tensor:
        moved = torch.addmm(self.b, t * self.a, self.W)
        return z + torch.addmm(moved, z, symmetric(self.lower, self.dimension))

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        d = self.dimension
        t = torch.tanh(torch.addmm(self.c, z, self.W.T))
        slope = self.a * (1 - t * t)
        pairs = (self.W[:, :, None] * self.W[:, None]).reshape(-1, d * d)
        gradient = (pairs.T @ slope.T).view(d, d, -1) + self.linear_part()[:, :, None]
        convex = torch.linalg.cholesky_ex(gradient.detach().permute(2, 0, 1)).info == 0
        x = self._image(z, t)
        if score is None:
            return Transported(x, elimination.volume(gradient)[0], convex, None)
        inverse, log_det, _ = elimination.inverse(gradient)
        within = (pairs @ inverse.reshape(d * d, -1)).T  # w_k·M⁻¹w_k
        inner = score + (2 * t * slope * within) @ self.W
        return Transported(x, log_det, convex, elimination.transposed_times(inverse, inner))

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _ConvexLinearizer(self, workspace)


def symmetric(lower: Tensor, dimension: int) -> Tensor:
    """The symmetric matrix (d, d) of a lower triangle, row by row, (d (d + 1)/2,)."""
    return lower[_places_of_pairs(dimension, lower.device)]


def _places_of_pairs(dimension: int, device: torch.device) -> Tensor:
    """The place of the pair (i, j) in a lower triangle, (d, d)."""
    i = torch.arange(dimension, device=device)
    i, j = torch.maximum(i[:, None], i), torch.minimum(i[:, None], i)
    return i * (i + 1) // 2 + j


class _ConvexLinearizer(Linearizer):
    """Keeps (z, 1) and t = tanh(W z + c) of every sample; θ is packed as (W, c), a, b and the
    triangle of A, and in a direction A is whole."""

    def __init__(self, map: ConvexGradient, workspace: Workspace | None) -> None:
        self.W, self.a = map.W.detach().clone(), map.a.detach()[:, None].clone()
        self.joined = torch.cat([self.W, map.c.detach()[:, None]], 1)
        self.linear = map.linear_part().detach()
        self.bias = map.b.detach()[:, None].clone()
        (h, d), device, q = self.W.shape, self.W.device, map.lower.numel()
        self.pairs = _places_of_pairs(d, device)
        row, column = torch.tril_indices(d, d, device=device)
        self.triangle = row * d + column
        begun = h * d + h
        ends = [begun, begun + h, begun + h + d]
        self.places = [
            weight_index(h, d, 0, h * d, device),
            *(
                weight_index(k, 1, end, None, device)
                for k, end in zip((h, d, q), ends, strict=True)
            ),
        ]
        super().__init__(
            d, self.W, rows=d + 1 + h, shapes=[(h, d + 1), (h, 1), (d, 1), (q, 1)],
            places=self.places, workspace=workspace,
        )  # fmt: skip

    def direction(self, v: Tensor) -> Matrices:
        *others, lower = super().direction(v)
        return [*others, lower[:, 0][self.pairs]]

    def chunk(self, storage: Tensor) -> Chunk:
        return _ConvexChunk(self, storage)


class _ConvexChunk:
    """dT = dA z + db + dWᵀ(a ∘ t) + Wᵀ(da ∘ t + a ∘ t' ∘ (dW z + dc + W dz)) + (I + A) dz."""

    def __init__(self, shared: _ConvexLinearizer, storage: Tensor) -> None:
        (h, d), n = shared.W.shape, storage.shape[1]
        self.shared = shared
        self.input, self.t = storage.split([d + 1, h])
        self.change, self.product = shared.shared_buffer(0, h, n), shared.shared_buffer(1, h, n)
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)
        self.outer = shared.buffer("outer", d, d + 1)
        self.inner = shared.buffer("inner", h, d)

    def fill(self, z: Tensor) -> Tensor:
        self.input[:-1].copy_(z)
        self.input[-1].fill_(1)
        torch.mm(self.shared.joined, self.input, out=self.t).tanh_()
        weighed = torch.mul(self.shared.a, self.t, out=self.product)
        x = torch.mm(self.shared.linear, z, out=self.out).add_(self.shared.bias)
        return x.addmm_(self.shared.W.T, weighed)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        joined, a, b, A = direction
        d = self.shared.dimension
        ds = torch.mm(joined, self.input, out=self.change)
        if dz is not None:
            ds.addmm_(self.shared.W, dz)
        damp_(ds, self.t).mul_(self.shared.a).addcmul_(self.t, a)
        dx = torch.mm(A, self.input[:d], out=self.out).add_(b).addmm_(self.shared.W.T, ds)
        dx.addmm_(joined[:, :d].T, torch.mul(self.shared.a, self.t, out=self.product))
        return dx if dz is None else dx.addmm_(self.shared.linear, dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        d, a = self.shared.dimension, self.shared.a
        weighed = torch.mul(a, self.t, out=self.product)
        sum_over_samples(weighed, u, self.inner)
        within = torch.mm(self.shared.W, u, out=self.change)
        torch.sum(torch.mul(within, self.t, out=self.product), 1, keepdim=True, out=grads[1])
        g = damp_(within, self.t).mul_(a)
        sum_over_samples(g, self.input, grads[0])
        grads[0][:, :d].add_(self.inner)
        sum_over_samples(u, self.input, self.outer)
        grads[2].copy_(self.outer[:, d:])
        both = self.outer[:, :d] + self.outer[:, :d].T
        both.diagonal().mul_(0.5)
        grads[3].copy_(both.reshape(-1)[self.shared.triangle][:, None])
        if not inputs:
            return None
        return torch.mm(self.shared.linear, u, out=self.back).addmm_(self.shared.W.T, g)

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """Rows of J: W stands on both sides of its layer, and A is symmetric."""
        W, a, e = self.shared.W, self.shared.a[:, 0], directions
        input, t = samples_first(self.input), samples_first(self.t)
        z = input[:, None, None, :-1]
        within = e @ W.T
        g = within * (a * (1 - t * t))[:, None]
        of_W = g[..., None] * z + (a * t)[:, None, :, None] * e[:, :, None]
        pairs = e[..., None] * z
        both = pairs + pairs.mT
        both.diagonal(dim1=2, dim2=3).mul_(0.5)
        rows = [
            torch.cat([of_W, g[..., None]], 3),
            within * t[:, None],
            e.clone(),
            both.flatten(2)[:, :, self.shared.triangle],
        ]
        places = self.shared.places
        return [rows_as_layer(*pair) for pair in zip(rows, places, strict=True)], (
            e @ self.shared.linear + g @ W
        )
