"""Velocities that are gradients, v = ∇φ, of potentials φ(τ, x) with trained parameters.

Optimal transport moves along gradients. The parameters of a network are the fewer, and what it
cannot do is turn.
"""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn

from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .velocity_networks import OneLayer, VelocityNetwork


class PotentialVelocity(OneLayer):
    """v(τ, x) = S x + b + Wᵀ(u ∘ tanh(W x + w τ + c)) of width h, S = ½(A + Aᵀ): the gradient of
    φ = ½ xᵀS x + b·x + Σ_k u_k log cosh(w_k·x + w_k τ + c_k).

    W (h, d), w, c and u (h,), b (d,), A (d, d), in this order; p = h (d + 3) + d + d². At the start
    A = b = u = 0, so that v = 0, and w = 0; W and c are those of `initial_features`, which takes
    the options.

    Errors: `InputError` for features that do not fit the dimension.
    """

    def __init__(self, dimension: int, width: int, **options: Unpack[FeatureOptions]) -> None:
        super().__init__(dimension, width, **options)
        self.u = nn.Parameter(torch.zeros(width))
        self.b = nn.Parameter(torch.zeros(dimension))
        self.A = nn.Parameter(torch.zeros(dimension, dimension))

    def description(self) -> dict[str, Any]:
        return {"dimension": self.dimension, "width": len(self.W)}

    def outputs(self) -> list[nn.Parameter]:
        return [self.u, self.b, self.A]

    @torch.no_grad()
    def change_coordinates(self, centre: Tensor, scale: float, factor: float) -> None:
        self.W.div_(scale)
        self.c.sub_(self.W @ centre)
        self.u.mul_(factor * scale**2)
        self.A.mul_(factor)
        self.b.mul_(factor * scale).sub_(self._symmetric() @ centre)

    def with_score(self, time: float, x: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = self._activations(time, x)
        bent = (1 - a * a) * (self.u * (score @ self.W.T) - 2 * self._gains() * a)
        change = -(bent @ self.W) - score @ self._symmetric()
        return self._velocity(x, a), self._divergence(a), change

    def _symmetric(self) -> Tensor:
        """S."""
        return 0.5 * (self.A + self.A.T)

    def _velocity(self, x: Tensor, a: Tensor) -> Tensor:
        return torch.addmm(self.b, x, self._symmetric()) + (a * self.u) @ self.W

    def _gains(self) -> Tensor:
        """u_k |w_k|², (h,)."""
        return self.u * self.W.square().sum(1)

    def _divergence(self, a: Tensor) -> Tensor:
        return (1 - a * a) @ self._gains() + self.A.trace()


class ResidualPotential(VelocityNetwork):
    """v = ∇φ of a residual network φ of L layers and width m [DJKO 3.2]: with σ = log cosh and
    s = W₀x + wτ + c,

        u₁ = σ(s),   u_{l+1} = u_l + σ(W_l u_l + c_l), l = 1 … L − 1,   φ = a·u_L.

    Its derivatives are made by a recurrence from the last layer down, z_L = a,
    z_l = z_{l+1} + W_lᵀ(σ'_l ∘ z_{l+1}), and for Δφ by one of the Jacobians J_l = ∂u_{l+1}/∂x:

        ∇φ = W₀ᵀ(σ'_0 ∘ z₁),   Δφ = Σ_i (σ''_0 ∘ z₁)_i |W₀|_i² + Σ_l Σ_i (σ''_l ∘ z_{l+1})_i
        |W_l J_{l−1}|_i²,

    |·|_i that of a row. The paper has v = −∇φ, and log(e^x + e^−x) for σ, which is the same
    family. W₀ (m, d), w, c (m,), W_l (m, m), c_l (m,), a (m,), in this order; p = m (d + 3) +
    (L − 1) m (m + 1). At the start a = 0, so that v = 0; W₀ and c are those of `initial_features`,
    which takes the options, W_l ~ N(0, 1/m) and the others 0.

    Errors: `InputError` for features that do not fit the dimension.
    """

    def __init__(
        self, dimension: int, width: int, layers: int, **options: Unpack[FeatureOptions]
    ) -> None:
        super().__init__()
        self.dimension, self._options = dimension, options
        dtype = torch.get_default_dtype()
        W, c = (each.to(dtype) for each in initial_features(width, dimension, **options))
        self.W, self.w, self.c = nn.Parameter(W), nn.Parameter(torch.zeros(width)), nn.Parameter(c)
        inner = self._initial_inner(layers - 1, width)
        self.inner = nn.ParameterList([nn.Parameter(each.to(dtype)) for each in inner])
        self.offsets = nn.ParameterList(
            [nn.Parameter(torch.zeros(width)) for _ in range(layers - 1)]
        )
        self.a = nn.Parameter(torch.zeros(width))

    def _initial_inner(self, count: int, width: int) -> Tensor:
        """W_l, (count, m, m) in float64."""
        generator = torch.Generator().manual_seed(self._options.get("seed", 0) + 1)
        drawn = torch.randn(count, width, width, generator=generator, dtype=torch.float64)
        return drawn / width**0.5

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.c, frame, self._options)
        # Of a network that was in single precision before.
        inner = self._initial_inner(len(self.inner), len(self.W))
        for present, initial in zip(self.inner, inner, strict=True):
            if torch.equal(present.data, initial.float().to(present)):
                present.data.copy_(initial)

    def description(self) -> dict[str, Any]:
        width, layers = len(self.W), len(self.inner) + 1
        return {"dimension": self.dimension, "width": width, "layers": layers}

    def outputs(self) -> list[nn.Parameter]:
        return [self.a]

    @torch.no_grad()
    def change_coordinates(self, centre: Tensor, scale: float, factor: float) -> None:
        self.W.div_(scale)
        self.c.sub_(self.W @ centre)
        self.a.mul_(factor * scale**2)

    def potential(self, time: float, x: Tensor) -> Tensor:
        """φ, (n,)."""
        u = _log_cosh(self._first(time, x))
        for W, c in zip(self.inner, self.offsets, strict=True):
            u = u + _log_cosh(torch.addmm(c, u, W.T))
        return u @ self.a

    def forward(self, time: float, x: Tensor) -> Tensor:
        slopes = self._slopes(time, x)
        return (slopes[0] * self._sensitivities(slopes)[0]) @ self.W

    def with_divergence(self, time: float, x: Tensor) -> tuple[Tensor, Tensor]:
        slopes = self._slopes(time, x)
        sensitivities = self._sensitivities(slopes)
        v = (slopes[0] * sensitivities[0]) @ self.W
        bent = (1 - slopes[0] * slopes[0]) * sensitivities[0]
        divergence = bent @ self.W.square().sum(1)
        jacobian = slopes[0][:, None] * self.W.T  # (n, d, m)
        for W, slope, z in zip(self.inner, slopes[1:], sensitivities[1:], strict=True):
            pushed = jacobian @ W.T
            bent = (1 - slope * slope) * z
            divergence = divergence + (bent * pushed.square().sum(1)).sum(1)
            jacobian = jacobian + slope[:, None] * pushed
        return v, divergence

    def with_score(self, time: float, x: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # (∇v)ᵀs + ∇(∇·v) is the gradient of v·s + ∇·v at a fixed s.
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            v, divergence = self.with_divergence(time, point)
            total = (v * score).sum() + divergence.sum()
            (change,) = torch.autograd.grad(total, point)
        return v.detach(), divergence.detach(), -change

    def _first(self, time: float, x: Tensor) -> Tensor:
        return torch.addmm(self.c + time * self.w, x, self.W.T)

    def _slopes(self, time: float, x: Tensor) -> list[Tensor]:
        """σ' of every layer, (n, m) each."""
        s = self._first(time, x)
        u, slopes = _log_cosh(s), [torch.tanh(s)]
        for k, (W, c) in enumerate(zip(self.inner, self.offsets, strict=True)):
            s = torch.addmm(c, u, W.T)
            slopes.append(torch.tanh(s))
            if k + 1 < len(self.inner):
                u = u + _log_cosh(s)
        return slopes

    def _sensitivities(self, slopes: list[Tensor]) -> list[Tensor]:
        """z_l of every layer, (n, m) each."""
        found = [self.a.expand_as(slopes[0])]
        for W, slope in zip(reversed(list(self.inner)), reversed(slopes[1:]), strict=True):
            found.append(found[-1] + (slope * found[-1]) @ W)
        return found[::-1]


def _log_cosh(s: Tensor) -> Tensor:
    """log cosh s, which does not overflow."""
    size = s.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - 0.6931471805599453
