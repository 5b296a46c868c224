"""Neural ordinary differential equation: T(z) = x(1) of x' = v_θ(τ, x), x(0) = z.

The paths are integrated by K steps of the classical Runge–Kutta method, log-determinant and score
beside them by their own equations (see `velocity_networks`). For a sample that costs O(K h d), or
without a linear part O(h d + K h²), and no factorisation. They are those of the flow of v itself,
which never folds, to O(K⁻⁴).

Source: R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, NeurIPS 31 (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, Unpack

import torch
from torch import Tensor

from ..constants import numbers
from ..errors import InputError
from .base import PushForward, Transported, signed_volume
from .chunk import Workspace
from .features import FeatureOptions
from .frame import Frame
from .linearization import Linearizer
from .low_rank_linearization import LowRankLinearizer
from .ode_linearization import OdeLinearizer
from .paths import paths_from
from .velocity_networks import BlockVelocity, integrate, one_step

_FEWEST = 4  # steps
_LARGEST_ERROR = 1e-3  # of the log-determinant, against that of ∇T
_WORSE = 4.0  # times, at least, is the rule at the ends of steps less accurate than the method
_PROBES, _COLUMNS = 8, 512  # samples of which ∇T is computed, and columns of all of them
_MOST_LINEAR = 64  # dimensions
_CORRECTIONS = 8  # of an inverse, each K⁻⁴ times the one before


def has_linear_part(dimension: int, linear: bool | None) -> bool:
    """Whether a neural ODE for which `linear` is asked has A: by default in few dimensions, as it
    has d² parameters."""
    return dimension <= _MOST_LINEAR if linear is None else linear


class NeuralODE(PushForward):
    """T(z) = x(1), x' = A x + b + U tanh(W x + w τ + c), x(0) = z, by K `steps`.

    θ = (W, w, c, U, b, A), p = h (2d + 2) + d + d² for width h; without A and its d² parameters if
    not `linear`, which by default it is in up to 64 dimensions. At the start A = b = U = 0. The
    options are those of `initial_features`.

    Where log-determinants are off by more than 1e-3, K is too small for θ, and `transport` takes
    samples for folded (`positive` is False): all, if the determinant of ∇T at one of the first
    eight says so (at fewer where matrices are larger than 64), and each where ∇·v at the ends of
    the steps alone makes another log-determinant.

    Errors: `InputError` for fewer than 4 steps, or features that do not fit the dimension.
    """

    fold_remedy = "or raise the steps of the neural-ode map, whose log-determinants are too rough"

    def __init__(
        self,
        dimension: int,
        width: int,
        *,
        steps: int = 8,
        linear: bool | None = None,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        if steps < _FEWEST:
            raise InputError(
                f"a neural-ode map of {steps} steps does not tell its log-determinant: take at "
                f"least {_FEWEST}, by default 8"
            )
        self.steps = steps
        with_matrix = has_linear_part(dimension, linear)
        self.velocity = BlockVelocity(dimension, width, linear=with_matrix, **options)

    @property
    def evaluations(self) -> int:
        return 4 * self.steps

    def lay_out(self, frame: Frame) -> None:
        self.velocity.lay_out(frame)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "neural-ode", **self.velocity.description(), "steps": self.steps}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described."""
        d = description
        return cls(d["dimension"], d["width"], steps=d["steps"], linear=d["linear"])

    def forward(self, z: Tensor) -> Tensor:
        paths = paths_from(self.velocity, z, None)
        return paths.end(integrate(paths.rate, paths.start, self.steps))[0]

    def inverse(self, x: Tensor) -> Tensor:
        """T⁻¹(x), (n, d) → (n, d), to rounding: the paths backwards in τ, and then what they miss
        by z ← z + B(x) − B(T(z)), B the paths backwards, which are T⁻¹ to O(K⁻⁴)."""

        def back(x: Tensor) -> Tensor:
            return integrate(lambda time, y: -self.velocity(1 - time, y), x, self.steps)

        aim = back(x)
        z, apart = aim, torch.inf
        for _ in range(_CORRECTIONS):
            change = aim - back(self(z))
            # Rows that are no numbers stop none of the others.
            size = float(change.detach().abs().nan_to_num(0.0).amax()) if len(x) else 0.0
            if not size < apart:  # what is left is rounding
                break
            z, apart = z + change, size
        return z

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        paths = paths_from(self.velocity, z, score)
        y, divergences = paths.start, []
        for number in range(self.steps):
            y, first = one_step(paths.rate, y, number, self.steps)
            divergences.append(first[:, paths.volume])
        divergences.append(paths.rate(1.0, y)[:, paths.volume])
        log_det = y[:, paths.volume]
        other = torch.stack(divergences, 1).detach() @ numbers(_end_weights(self.steps), log_det)
        accurate = (log_det.detach() - other).abs() <= _WORSE * _LARGEST_ERROR
        accurate = accurate & self._tells_determinants(z, log_det.detach())
        x, carried = paths.end(y)
        return Transported(x, log_det, accurate, carried)

    @torch.no_grad()
    def _tells_determinants(self, z: Tensor, log_det: Tensor) -> Tensor:
        """Whether log|det ∇T| is accurate at the first samples, () bool: Runge–Kutta steps of a
        path together with its derivative are the derivative of the steps."""
        d, k = self.dimension, self.velocity.columns()
        z = z[: min(_PROBES, max(1, _COLUMNS // k))]

        def rate(time: float, y: Tensor) -> Tensor:
            v, change = self.velocity.with_matrix(time, y[:, :d], y[:, d:].unflatten(1, (k, k)))
            return torch.cat([v, change.flatten(1)], 1)

        start = torch.eye(k, dtype=z.dtype, device=z.device).view(1, -1).expand(len(z), -1)
        matrices = integrate(rate, torch.cat([z, start], 1), self.steps)[:, d:].unflatten(1, (k, k))
        found, positive = signed_volume(matrices)
        return (((found - log_det[: len(z)]).abs() <= _LARGEST_ERROR) & positive).all()

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        kind = LowRankLinearizer if self.velocity.is_narrow() else OdeLinearizer
        return kind(self.velocity, self.steps, workspace)


def _end_weights(steps: int) -> list[float]:
    """Weights of f(k/K), k = 0 … K, in ∫₀¹ f by Gregory's rule of fourth order: the trapezoidal
    rule, corrected by the first two differences at both ends."""
    weights = [1.0] * (steps + 1)
    for end, inwards in ((0, 1), (steps, -1)):
        for k, change in enumerate((-5 / 8, 1 / 6, -1 / 24)):
            weights[end + k * inwards] += change
    return [weight / steps for weight in weights]
