"""The schemes: sequences of proximal problems  min_θ E|T_θ − Y|²/2τ + F(T_θ#λ).

`euler`: Y = T_k, τ = h, which is the JKO step. `sdirk2`: with γ = 1 − 1/√2,

    T₁ from Y₁ = T_k,                               τ = γh,  at t + γh,
    T₂ from Y₂ = T_k + ((1 − γ)/γ)(T₁ − T_k),       τ = γh,  at t + h,    T_{k+1} = T₂:

L-stable, of order two (R. Alexander, SIAM J. Numer. Anal. 14 (1977) 1006). Its error is estimated
by the distance of T₂ from T_k + (T₁ − T_k)/γ, of order one.

With a part of the velocity, e, taken *forward* (explicitly), Euler has Y = T_k + h e(T_k), and
sdirk2 becomes ARS(2,2,2) (U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997)
151):

    Y₁ = T_k + γh e(T_k),   Y₂ = T_k + h(δ e(T_k) + (1 − δ) e(T₁)) + ((1 − γ)/γ)(T₁ − Y₁),
    δ = 1 − 1/(2γ).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...integrators import GAMMA

DELTA = 1.0 - 0.5 / GAMMA
"""δ."""

Positions = Sequence[Tensor]
"""At the samples of every chunk of this rank, (n_chunk, d) each."""


@dataclass(frozen=True)
class ImplicitScheme:
    """One of the schemes."""

    name: str
    """By which run files choose it."""
    order: int
    """The order of convergence."""
    nodes: Sequence[float]
    """Where the stages lie, in h after t."""
    coefficient: float
    """τ/h, the same for all stages."""
    error_order: int | None
    """The power of h in the error estimate; None without one."""

    def target(
        self, step: float, start: Positions, reached: Sequence[Positions],
        targets: Sequence[Positions], forward: Sequence[Positions],
    ) -> list[Tensor]:  # fmt: skip
        """Y of the next stage. `step`: h. `start`: T_k. `reached`, `targets`: T and Y of the stages
        before. `forward`: e at T_k and at these; empty where nothing is taken forward."""
        if not reached:
            if not forward:
                return list(start)
            size = self.nodes[0] * step
            return [x + size * e for x, e in zip(start, forward[0], strict=True)]
        ratio = (1.0 - GAMMA) / GAMMA
        pairs = zip(start, reached[0], targets[0], strict=True)
        found = [x + ratio * (x1 - y1) for x, x1, y1 in pairs]
        if forward:
            first, second = DELTA * step, (1.0 - DELTA) * step
            moved = zip(found, forward[0], forward[1], strict=True)
            found = [y + first * e0 + second * e1 for y, e0, e1 in moved]
        return found

    def error(self, start: Tensor, stage: Tensor, end: Tensor) -> Tensor:
        """The estimate of the error at the samples of a chunk, (n, d)."""
        return end - start - (stage - start) / GAMMA


SCHEMES = {
    "sdirk2": ImplicitScheme("sdirk2", 2, (GAMMA, 1.0), GAMMA, 2),
    "euler": ImplicitScheme("euler", 1, (1.0,), 1.0, None),
}
"""By name."""
