"""Linearisation of the paths x' = v(τ, x) of a `BlockVelocity`, stage by stage of every step.

With x_i the point and k_i = v(τ_i, x_i) the velocity of stage i, of h the size and b_i, c_i weights
and nodes of the classical Runge–Kutta method,
    dk_i = dA x_i + db + dU a_i + A dx_i + U ds_i,   ds_i = a'_i ∘ (dW x_i + dw τ_i + dc + W dx_i),
    dx_i = dy + c_i h dk_{i−1},   dy ← dy + h Σ b_i dk_i,
and the transpose from the last stage to the first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .layer import ParameterLayer, rows_as_layer, samples_first
from .linearization import Linearizer
from .ode_stages import MOST_ROWS, beside, places_of, stages_of
from .velocity_networks import BlockVelocity


class OdeLinearizer(Linearizer):
    """Keeps (τ, x, 1, a) of every stage and sample, a = tanh(W x + w τ + c); θ is packed as
    (w, W, c), which (τ, x, 1) is multiplied with, and (A, b, U), with (x, 1, a); or (b, U)."""

    def __init__(self, velocity: BlockVelocity, steps: int, workspace: Workspace | None) -> None:
        self.steps, self.W, self.U = steps, velocity.W.detach().clone(), velocity.U.detach().clone()
        self.A = None if velocity.A is None else velocity.A.detach().clone()
        self.inner = beside(velocity.w, velocity.W, velocity.c)
        linear = () if velocity.A is None else (velocity.A,)
        self.outer = beside(*linear, velocity.b, velocity.U)
        self.kept = velocity.dimension + 2 + len(self.W)  # numbers of a stage
        self.places = places_of(velocity)
        super().__init__(
            velocity.dimension,
            self.W,
            rows=4 * steps * self.kept,
            shapes=[self.inner.shape, self.outer.shape],
            places=self.places,
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _OdeChunk(self, storage)


class _OdeChunk:
    """See above."""

    def __init__(self, shared: OdeLinearizer, storage: Tensor) -> None:
        (h, d), n = shared.W.shape, storage.shape[1]
        self.shared, self.steps = shared, stages_of(shared.steps)
        self.stages = storage.view(4 * shared.steps, shared.kept, n)
        self.change = shared.shared_buffer(0, h, n)
        self.rate = shared.shared_buffer(1, d, n)
        names = ("out", "point", "ahead")
        self.out, self.point, self.ahead = (shared.buffer(name, d, n) for name in names)
        self.parts = [shared.buffer(f"part {k}", *shape) for k, shape in enumerate(shared.shapes)]

    def _inner(self, number: int) -> Tensor:
        """(τ, x, 1) of a stage."""
        return self.stages[number, : self.shared.dimension + 2]

    def _outer(self, number: int) -> Tensor:
        """(x, 1, a) of a stage, or (1, a)."""
        return self.stages[number, 1 if self.shared.A is not None else 1 + self.shared.dimension :]

    def _activations(self, number: int) -> Tensor:
        return self.stages[number, self.shared.dimension + 2 :]

    def fill(self, z: Tensor) -> Tensor:
        d, y = self.shared.dimension, self.out.copy_(z)
        for stages in self.steps:
            self.ahead.copy_(y)
            for number, time, node, weight in stages:
                inputs = self._inner(number)
                inputs[0].fill_(time)
                x = inputs[1 : d + 1].copy_(y)
                if node:
                    x.add_(self.rate, alpha=node)
                inputs[d + 1].fill_(1)
                torch.mm(self.shared.inner, inputs, out=self._activations(number)).tanh_()
                torch.mm(self.shared.outer, self._outer(number), out=self.rate)
                self.ahead.add_(self.rate, alpha=weight)
            y.copy_(self.ahead)
        return y

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        inner, outer = direction
        W, U, A = self.shared.W, self.shared.U, self.shared.A
        dy = self.out.zero_() if dz is None else self.out.copy_(dz)
        for stages in self.steps:
            self.ahead.copy_(dy)
            for number, _, node, weight in stages:
                dx = torch.add(dy, self.rate, alpha=node, out=self.point) if node else dy
                ds = torch.mm(inner, self._inner(number), out=self.change).addmm_(W, dx)
                dk = torch.mm(outer, self._outer(number), out=self.rate)
                dk.addmm_(U, damp_(ds, self._activations(number)))
                if A is not None:
                    dk.addmm_(A, dx)
                self.ahead.add_(dk, alpha=weight)
            dy.copy_(self.ahead)
        return dy

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        W, U, A = self.shared.W, self.shared.U, self.shared.A
        for grad in grads:
            grad.zero_()
        back = self.out.copy_(u)
        for stages in reversed(self.steps):
            self.ahead.copy_(back)
            later = 0.0
            for number, _, node, weight in reversed(stages):
                k = torch.mul(back, weight, out=self.rate)
                if later:
                    k.add_(self.point, alpha=later)
                g = damp_(torch.mm(U.T, k, out=self.change), self._activations(number))
                self._add(k, self._outer(number), grads[1], self.parts[1])
                self._add(g, self._inner(number), grads[0], self.parts[0])
                x = torch.mm(W.T, g, out=self.point)
                if A is not None:
                    x.addmm_(A.T, k)
                self.ahead.add_(x)
                later = node
            back.copy_(self.ahead)
        return back if inputs else None

    @staticmethod
    def _add(a: Tensor, b: Tensor, total: Tensor, part: Tensor) -> None:
        sum_over_samples(a, b, part)
        total.add_(part)

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """Weights act in every stage, so that eᵀ∂T/∂W is a sum of products B_e ⊗ a: rows of J.
        For many parameters these would be too large, and are those of the sum of all B_e with the
        mean of all a, which is exact at the start, where there is no velocity."""
        whole = sum(self.shared.sizes) <= MOST_ROWS
        (n, e), places = directions.shape[:2], self.shared.places
        sums = [
            directions.new_zeros(n, e, *(place.shape if whole else place.shape[:1]))
            for place in places
        ]
        means = [directions.new_zeros(n, place.shape[1]) for place in places]
        W, U, A = self.shared.W, self.shared.U, self.shared.A
        back = directions
        for stages in reversed(self.steps):
            ahead, pulled, later = back, back, 0.0
            for number, _, node, weight in reversed(stages):
                k = weight * back + later * pulled
                acting = [samples_first(self._inner(number)), samples_first(self._outer(number))]
                a = acting[1][:, -len(W) :]
                g = (k @ U) * (1 - a[:, None].square())
                pulled = g @ W if A is None else g @ W + k @ A
                ahead, later = ahead + pulled, node
                for total, mean, B, input in zip(sums, means, (g, k), acting, strict=True):
                    total += B[..., None] * input[:, None, None, :] if whole else B
                    mean += weight * input
            back = ahead
        if whole:
            return [rows_as_layer(*pair) for pair in zip(sums, places, strict=True)], back
        triples = zip(sums, means, places, strict=True)
        return [ParameterLayer(*triple) for triple in triples], back
