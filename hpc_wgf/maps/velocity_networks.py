"""Velocities v(τ, x) on ℝᵈ with trained parameters, and the paths x' = v(τ, x) along them.

Along a path the log-determinant ℓ of the flow and the score s of the density that it carries obey
    ℓ' = ∇·v,   s' = −(∇v)ᵀ s − ∇(∇·v).
All is made of operations that torch differentiates, and parameters lie row by row in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from ..integrators import TABLEAUX, runge_kutta_step
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame

Rate = Callable[[float, Tensor], Tensor]
"""(τ, y) ↦ y', (n, k) → (n, k)."""


class VelocityNetwork(nn.Module, ABC):
    """v_θ: [0, 1] × ℝᵈ → ℝᵈ."""

    dimension: int
    """d."""

    @abstractmethod
    def forward(self, time: float, x: Tensor) -> Tensor:
        """v(τ, x): (n, d) → (n, d)."""

    @abstractmethod
    def with_divergence(self, time: float, x: Tensor) -> tuple[Tensor, Tensor]:
        """v(τ, x), (n, d), and ∇·v, (n,), at x: (n, d)."""

    @abstractmethod
    def with_score(self, time: float, x: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """v(τ, x), ∇·v and −(∇v)ᵀ s − ∇(∇·v), (n, d), for scores s at x, (n, d) each."""

    def lay_out(self, frame: Frame) -> None:
        """Prepare a network at its initial parameters for samples with mean and covariance of
        `frame`; see `PushForward.lay_out`."""
        return

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Plain data that say its size."""

    @abstractmethod
    def outputs(self) -> list[nn.Parameter]:
        """The parameters in which v is linear where the others are held, and with which it is 0
        where they are."""

    @abstractmethod
    def change_coordinates(self, centre: Tensor, scale: float, factor: float) -> None:
        """Change the parameters so that v becomes `factor` · s v(τ, (x − m)/s): with `factor` 1 the
        same flow, in coordinates in which x − m is s times as long. `centre`: m, (d,). `scale`: s.
        The inverse takes −m/s, 1/s and 1/`factor`."""


class OneLayer(VelocityNetwork):
    """A network with one layer of features a = tanh(W x + w τ + c), W (h, d), w and c (h,): w = 0
    at the start, W and c are those of `initial_features`, which takes the options."""

    def __init__(self, dimension: int, width: int, **options: Unpack[FeatureOptions]) -> None:
        super().__init__()
        self.dimension, self._options = dimension, options
        dtype = torch.get_default_dtype()
        W, c = (each.to(dtype) for each in initial_features(width, dimension, **options))
        self.W, self.w, self.c = nn.Parameter(W), nn.Parameter(torch.zeros(width)), nn.Parameter(c)

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.c, frame, self._options)

    def forward(self, time: float, x: Tensor) -> Tensor:
        return self._velocity(x, self._activations(time, x))

    def with_divergence(self, time: float, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self._activations(time, x)
        return self._velocity(x, a), self._divergence(a)

    def _activations(self, time: float, x: Tensor) -> Tensor:
        """a, (n, h)."""
        return torch.tanh(torch.addmm(self.c + time * self.w, x, self.W.T))

    @abstractmethod
    def _velocity(self, x: Tensor, a: Tensor) -> Tensor:
        """v at x, (n, d), where the features are a."""

    @abstractmethod
    def _divergence(self, a: Tensor) -> Tensor:
        """∇·v, (n,), there."""


class BlockVelocity(OneLayer):
    """v(τ, x) = A x + b + U tanh(W x + w τ + c) of width h.

    W (h, d), w and c (h,), U (d, h), b (d,), A (d, d), in this order; p = h (2d + 2) + d + d²,
    without A and its d² parameters if not `linear`. At the start A = b = U = 0, so that v = 0, and
    w = 0; W and c are those of `initial_features`, which takes the options.

    Errors: `InputError` for features that do not fit the dimension.
    """

    A: Tensor | None
    """A, (d, d); None where v has no linear part."""

    def __init__(
        self,
        dimension: int,
        width: int,
        *,
        linear: bool = True,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension, width, **options)
        self.U = nn.Parameter(torch.zeros(dimension, width))
        self.b = nn.Parameter(torch.zeros(dimension))
        A = nn.Parameter(torch.zeros(dimension, dimension)) if linear else None
        self.register_parameter("A", A)

    def description(self) -> dict[str, Any]:
        """Plain data that say its size."""
        return {
            "dimension": self.dimension, "width": len(self.W), "linear": self.A is not None,
        }  # fmt: skip

    def outputs(self) -> list[nn.Parameter]:
        return [self.U, self.b, *([] if self.A is None else [cast(nn.Parameter, self.A)])]

    @torch.no_grad()
    def change_coordinates(self, centre: Tensor, scale: float, factor: float) -> None:
        self.W.div_(scale)
        self.c.sub_(self.W @ centre)
        self.U.mul_(factor * scale)
        self.b.mul_(factor * scale)
        if self.A is not None:
            self.A.mul_(factor)
            self.b.sub_(self.A @ centre)

    def with_score(self, time: float, x: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = self._activations(time, x)
        bent = (1 - a * a) * (score @ self.U - 2 * self._gains() * a)
        change = -(bent @ self.W)
        if self.A is not None:
            change = change - score @ self.A
        return self._velocity(x, a), self._divergence(a), change

    def is_narrow(self) -> bool:
        """Whether paths lie in fewer dimensions than d: h < d, and there is no linear part."""
        return self.A is None and len(self.W) < self.dimension

    def columns(self) -> int:
        """The size of the matrices M with det M = det ∇T along the paths, see `with_matrix`."""
        return len(self.W) if self.is_narrow() else self.dimension

    def with_matrix(self, time: float, x: Tensor, M: Tensor) -> tuple[Tensor, Tensor]:
        """v(τ, x) and M', (n, k, k), of matrices with M = I at τ = 0 and det M = det ∇T: the
        transpose of ∇T itself, ∇T' = ∇v ∇T, or where that is smaller of C, ∇T U = U C."""
        a = self._activations(time, x)
        slope = (1 - a * a)[:, None]
        v = self._velocity(x, a)
        if M.shape[1] < x.shape[1]:
            return v, (M @ (self.W @ self.U).T) * slope
        change = ((M @ self.W.T) * slope) @ self.U.T
        return v, change if self.A is None else change + M @ self.A.T

    def _velocity(self, x: Tensor, a: Tensor) -> Tensor:
        v = torch.addmm(self.b, a, self.U.T)
        return v if self.A is None else torch.addmm(v, x, self.A.T)

    def _gains(self) -> Tensor:
        """g_k = w_k·u_k, (h,): ∇·v = tr A + Σ_k a'_k g_k."""
        return (self.W * self.U.T).sum(1)

    def _divergence(self, a: Tensor) -> Tensor:
        changed = (1 - a * a) @ self._gains()
        return changed if self.A is None else changed + self.A.diagonal().sum()


def integrate(rate: Rate, y: Tensor, steps: int) -> Tensor:
    """y(1) of y' = `rate`(τ, y), (n, k) → (n, k), from y(0) = `y`, by `steps` equal steps of the
    classical Runge–Kutta method of fourth order. Several quantities along the same paths stand side
    by side in y."""
    for number in range(steps):
        y, _ = one_step(rate, y, number, steps)
    return y


def one_step(rate: Rate, y: Tensor, number: int, steps: int) -> tuple[Tensor, Tensor]:
    """The step of `integrate` from τ = `number`/`steps`: y after it, and the rate at its start."""
    begun = number / steps

    def rhs(y: Tensor, ahead: float) -> Tensor:
        return rate(begun + ahead, y)

    first = rhs(y, 0.0)
    return runge_kutta_step(rhs, y, first, 1 / steps, TABLEAUX["rk4"])[0], first
