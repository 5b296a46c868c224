"""Linearisation of the paths of a `BlockVelocity` without a linear part, in the coordinates of U.

With S_i = W z + c + τ_i e + K y_i, e = w + W b, K = W U, and a_i = tanh S_i of stage i (see
`paths`), and otherwise as in `ode_linearization`,
    da_i = a'_i ∘ (ds₀ + τ_i de + dK y_i + K dy_i),   ds₀ = dW z + dc + W dz,
    dT = dz + db + dU y(1) + U dy(1).
θ enters in ds₀, de = dw + dW b + W db and dK = dW U + W dU alone: of d numbers there are two
products, whatever the number of steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .layer import ParameterLayer, rows_as_layer, samples_first
from .linearization import Linearizer
from .ode_stages import MOST_ROWS, places_of, stages_of
from .velocity_networks import BlockVelocity


class LowRankLinearizer(Linearizer):
    """Keeps (z, 1, y(1)), and (y, a) of every stage; θ is packed as (w, W, c) and (b, U), and of a
    direction (de, dK) stand beside the first."""

    def __init__(self, velocity: BlockVelocity, steps: int, workspace: Workspace | None) -> None:
        self.steps, self.W, self.U = steps, velocity.W.detach().clone(), velocity.U.detach().clone()
        self.b = velocity.b.detach()[:, None].clone()
        self.K, self.ahead = self.W @ self.U, velocity.w.detach()[:, None] + self.W @ self.b
        self.joined = torch.cat([self.W, velocity.c.detach()[:, None]], 1)
        (h, d), self.places = self.W.shape, places_of(velocity)
        super().__init__(
            d,
            self.W,
            rows=d + 1 + h + 8 * steps * h,
            shapes=[(h, d + 2), (d, h + 1)],
            places=self.places,
            workspace=workspace,
        )

    def direction(self, v: Tensor) -> Matrices:
        inner, outer = super().direction(v)
        dW = inner[:, 1 : self.dimension + 1]
        ahead = inner[:, :1] + dW @ self.b + self.W @ outer[:, :1]
        return [torch.cat([inner, ahead, dW @ self.U + self.W @ outer[:, 1:]], 1), outer]

    def chunk(self, storage: Tensor) -> Chunk:
        return _LowRankChunk(self, storage)


class _LowRankChunk:
    """See above."""

    def __init__(self, shared: LowRankLinearizer, storage: Tensor) -> None:
        (h, d), n = shared.W.shape, storage.shape[1]
        self.shared, self.steps = shared, stages_of(shared.steps)
        self.inner, self.outer = storage[: d + 1], storage[d : d + 1 + h]  # (z, 1) and (1, y(1))
        self.stages = storage[d + 1 + h :].view(4 * shared.steps, 2, h, n)
        self.begun, self.change = shared.shared_buffer(0, h, n), shared.shared_buffer(1, h, n)
        names = ("now", "point", "next")
        self.now, self.point, self.next = (shared.buffer(name, h, n) for name in names)
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)
        self.sum, self.part = shared.buffer("sum", h, h), shared.buffer("part", h, h)

    def fill(self, z: Tensor) -> Tensor:
        shared = self.shared
        self.inner[:-1].copy_(z)
        self.inner[-1].fill_(1)
        torch.mm(shared.joined, self.inner, out=self.begun)
        now = self.now.zero_()
        before = now
        for stages in self.steps:
            self.next.copy_(now)
            for stage in stages:
                y, a = self.stages[stage.number]
                torch.add(now, before, alpha=stage.node, out=y)
                torch.mm(shared.K, y, out=a).add_(self.begun)
                before = a.add_(shared.ahead, alpha=stage.time).tanh_()
                self.next.add_(a, alpha=stage.weight)
            now.copy_(self.next)
        self.outer[1:].copy_(now)
        return torch.addmm(z, shared.U, now, out=self.out).add_(shared.b)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        inner, outer = direction
        shared, d = self.shared, self.shared.dimension
        ahead, dK = inner[:, d + 2 : d + 3], inner[:, d + 3 :]
        begun = torch.mm(inner[:, 1 : d + 2], self.inner, out=self.begun)
        if dz is not None:
            begun.addmm_(shared.W, dz)
        now = self.now.zero_()
        for stages in self.steps:
            self.next.copy_(now)
            for stage in stages:
                y, a = self.stages[stage.number]
                dy = now
                if stage.node:
                    dy = torch.add(now, self.change, alpha=stage.node, out=self.point)
                da = torch.mm(dK, y, out=self.change).addmm_(shared.K, dy)
                damp_(da.add_(begun).add_(ahead, alpha=stage.time), a)
                self.next.add_(da, alpha=stage.weight)
            now.copy_(self.next)
        dx = torch.mm(outer, self.outer, out=self.out).addmm_(shared.U, now)
        return dx if dz is None else dx.add_(dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        shared, d = self.shared, self.shared.dimension
        now, begun, total = torch.mm(shared.U.T, u, out=self.now), self.begun.zero_(), self.sum
        total.zero_()
        ahead = shared.b.new_zeros(len(begun), 1)
        for stages in reversed(self.steps):
            self.next.copy_(now)
            later = 0.0
            for stage in reversed(stages):
                y, a = self.stages[stage.number]
                g = torch.mul(now, stage.weight, out=self.change)
                if later:
                    g.add_(self.point, alpha=later)
                damp_(g, a)
                sum_over_samples(g, y, self.part)
                total.add_(self.part)
                begun.add_(g)
                ahead.add_(g.sum(1, keepdim=True), alpha=stage.time)
                self.next.add_(torch.mm(shared.K.T, g, out=self.point))
                later = stage.node
            now.copy_(self.next)
        sum_over_samples(u, self.outer, grads[1])
        sum_over_samples(begun, self.inner, grads[0][:, 1:])
        grads[0][:, :1].copy_(ahead)
        grads[0][:, 1 : d + 1].addmm_(ahead, shared.b.T).addmm_(total, shared.U.T)
        grads[1][:, :1].addmm_(shared.W.T, ahead)
        grads[1][:, 1:].addmm_(shared.W.T, total)
        return torch.addmm(u, shared.W.T, begun, out=self.back) if inputs else None

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """As those of `ode_linearization`."""
        shared, (n, e) = self.shared, directions.shape[:2]
        now = directions @ shared.U
        begun, ahead = torch.zeros_like(now), torch.zeros_like(now)
        whole = sum(shared.sizes) <= MOST_ROWS
        K = now.new_zeros(n, e, *(shared.K.shape if whole else (0, 0)))
        mean = now.new_zeros(n, now.shape[2])
        for stages in reversed(self.steps):
            following, pulled, later = now, now, 0.0
            for stage in reversed(stages):
                y, a = (samples_first(part) for part in self.stages[stage.number])
                g = (stage.weight * now + later * pulled) * (1 - a[:, None].square())
                if whole:
                    K += g[..., None] * y[:, None, None]
                begun, ahead = begun + g, ahead + stage.time * g
                mean += stage.weight * y
                pulled, later = g @ shared.K, stage.node
                following = following + pulled
            now = following
        inner, outer = samples_first(self.inner), samples_first(self.outer)
        back = directions + begun @ shared.W
        if not whole:
            x = inner[:, :-1] + 0.5 * shared.b.T + mean @ shared.U.T
            acting = torch.cat([0.5 * torch.ones_like(x[:, :1]), x, inner[:, -1:]], 1)
            half = 0.5 * (directions + back)
            first = ParameterLayer(begun, acting, shared.places[0])
            return [first, ParameterLayer(half, outer, shared.places[1])], back
        of_W = begun[..., None] * inner[:, None, None, :-1]
        of_W += ahead[..., None] * shared.b[:, 0] + K @ shared.U.T
        rows = torch.cat([ahead[..., None], of_W, begun[..., None]], 3)
        of_U = directions[..., None] * outer[:, None, None, 1:] + shared.W.T @ K
        of_b = directions + ahead @ shared.W
        pairs = zip((rows, torch.cat([of_b[..., None], of_U], 3)), shared.places, strict=True)
        return [rows_as_layer(*pair) for pair in pairs], back
