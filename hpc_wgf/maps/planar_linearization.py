"""Linearisation of a planar flow, by products with the weights of all layers together."""

from __future__ import annotations

import torch
from torch import Tensor

from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .layer import ParameterLayer, weight_index
from .linearization import Linearizer

_FEW = 4  # In at most so many dimensions the d sensitivities of every layer are kept.


class PlanarLinearizer(Linearizer):
    """A planar flow at fixed θ = (`W` (K, d), `b` (K,), `U` (K, d)).

    For every sample are kept (z, 1), the activations a, (K,), and in at most 4 dimensions the
    sensitivities B, (K, d), of `_PlanarChunk`. θ is packed as (W, b) and U.
    """

    def __init__(self, W: Tensor, b: Tensor, U: Tensor, workspace: Workspace | None) -> None:
        self.W, self.U, self.joined = W, U, torch.cat([W, b[:, None]], 1)
        self.coupling = self.W @ self.U.T  # (k, j): w_k·u_j
        K, d = self.W.shape
        self.solves = d > _FEW
        super().__init__(
            d,
            self.W,
            rows=d + 1 + K + (0 if self.solves else K * d),
            shapes=[(K, d + 1), (K, d)],
            places=[
                weight_index(K, d, 0, K * d, W.device),
                weight_index(K, d, K * d + K, None, W.device),
            ],
            workspace=workspace,
        )

    def direction(self, v: Tensor) -> Matrices:
        joined, dU = super().direction(v)
        dW = joined[:, : self.dimension]
        mixed = torch.tril(dW @ self.U.T + self.W @ dU.T, -1)  # (k, j): change of w_k·u_j
        return [torch.cat([joined, mixed], 1), dU]

    def chunk(self, storage: Tensor) -> Chunk:
        return (_SolvingChunk if self.solves else _PlanarChunk)(self, storage)


class _PlanarChunk:
    """J by a triangular system for all layers together, solved once and for all in B.

    x_k = z + Σ_{j<k} a_j u_j, so that the changes ds_k of w_k·x_k + b_k solve
        ds_k = e_k + Σ_{j<k} (u_j·w_k) a'_j ds_j,
        e_k = z·dw_k + db_k + w_k·dz + Σ_{j<k} a_j (u_j·dw_k + du_j·w_k),
    and dT = dz + Σ_k a_k du_k + (a'_k ds_k) u_k = dz + Σ_k a_k du_k + B_k e_k.
    """

    def __init__(self, shared: PlanarLinearizer, storage: Tensor) -> None:
        (K, d), n = shared.W.shape, storage.shape[1]
        self.shared = shared
        self.inputs = storage[: d + 1 + K]  # (z, 1, a)
        self.z, self.a = storage[:d], storage[d + 1 : d + 1 + K]
        self.B = storage[d + 1 + K :].view((shared.rows - d - 1 - K) // d, d, n)
        self.change, self.product = shared.shared_buffer(0, K, n), shared.shared_buffer(1, K, n)
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)
        self.gradient = shared.buffer("gradient", d * d, n)
        self.grad = shared.buffer("grad", K, d + 1 + K)
        self.ones = storage.new_ones(K)

    def fill(self, z: Tensor) -> Tensor:
        x = self.out.copy_(z)
        self.z.copy_(z)
        self.inputs[len(x)].fill_(1)
        for a, V, u in zip(self.a, self.shared.joined, self.shared.U, strict=True):
            torch.mv(x.T, V[:-1], out=a).add_(V[-1]).tanh_()
            x.addr_(u, a)
        self._fill_sensitivities()
        return x

    def _fill_sensitivities(self) -> None:
        """B_k = a'_k ∇_{k+1}T u_k and ∇_k T = ∇_{k+1}T + B_k w_kᵀ, backwards from ∇T = I."""
        d, n = self.z.shape
        gradient = self.gradient.zero_().view(d, d * n)  # (input, output · n)
        self.gradient[:: d + 1].fill_(1)
        for k in range(len(self.a) - 1, -1, -1):
            B = torch.mv(gradient.T, self.shared.U[k], out=self.B[k].view(-1))
            damp_(self.B[k], self.a[k].expand(d, n))
            gradient.addr_(self.shared.W[k], B)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        joined, dU = direction
        e = torch.mm(joined, self.inputs, out=self.change)
        if dz is not None:
            e.addmm_(self.shared.W, dz)
        dx = torch.mm(dU.T, self.a, out=self.out)
        self._add_moved(dx, e)
        return dx if dz is None else dx.add_(dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        g, d = self._pulled(u), len(u)
        sum_over_samples(g, self.inputs, self.grad)
        mixed = self.grad[:, d + 1 :].tril_(-1)
        torch.addmm(self.grad[:, :d], mixed, self.shared.U, out=grads[0][:, :d])
        grads[0][:, d].copy_(self.grad[:, d])
        sum_over_samples(self.a, u, grads[1])
        grads[1].addmm_(mixed.T, self.shared.W)
        return torch.addmm(u, self.shared.W.T, g, out=self.back) if inputs else None

    def _add_moved(self, dx: Tensor, e: Tensor) -> None:
        """dx ← dx + Σ_k B_k e_k."""
        for i, moved in enumerate(dx):
            torch.mul(self.B[:, i], e, out=self.product)
            moved.addmv_(self.product.T, self.ones)

    def _pulled(self, u: Tensor) -> Tensor:
        """B_k·u, (K, n)."""
        g = torch.mul(self.B[:, 0], u[0], out=self.change)
        for i in range(1, len(u)):
            g.addcmul_(self.B[:, i], u[i])
        return g

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """All of θ as one layer with the input 1, whose sensitivity is eᵀJ itself."""
        (K, d), n = self.shared.W.shape, self.z.shape[1]
        back, count = directions.clone(), directions.shape[1]
        rows = self.z.new_empty(n, count, K * (2 * d + 1))
        for_W, for_b, for_U = rows.split([K * d, K, K * d], dim=2)
        x = (self.z + self.shared.U.T @ self.a).T
        for k in range(K - 1, -1, -1):
            a, u = self.a[k][:, None], self.shared.U[k]
            x = x - a * u
            for_U[:, :, k * d : (k + 1) * d] = a[:, None] * back
            along = (1 - a * a) * (back @ u)
            for_b[:, :, k] = along
            for_W[:, :, k * d : (k + 1) * d] = along[:, :, None] * x[:, None]
            back = back + along[:, :, None] * self.shared.W[k]
        index = weight_index(rows.shape[2], 1, 0, None, rows.device)
        return [ParameterLayer(rows, torch.ones_like(x[:, :1]), index)], back


class _SolvingChunk(_PlanarChunk):
    """J by the same system, solved in each product: in many dimensions B would take much memory."""

    def _fill_sensitivities(self) -> None:
        return

    def _add_moved(self, dx: Tensor, e: Tensor) -> None:
        damp_(e[0], self.a[0])
        for k in range(1, len(e)):
            e[k].addmv_(e[:k].T, self.shared.coupling[k, :k])
            damp_(e[k], self.a[k])
        dx.addmm_(self.shared.U.T, e)

    def _pulled(self, u: Tensor) -> Tensor:
        g = torch.mm(self.shared.U, u, out=self.change)
        damp_(g[-1], self.a[-1])
        for k in range(len(g) - 2, -1, -1):
            g[k].addmv_(g[k + 1 :].T, self.shared.coupling[k + 1 :, k])
            damp_(g[k], self.a[k])
        return g
