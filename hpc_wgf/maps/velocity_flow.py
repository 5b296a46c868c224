"""The flow of a velocity network from τ = 0 to 1 as a map: a step of Deep JKO that is frozen.

    T(z) = x(1),   x' = v(τ, x),  x(0) = z,   ℓ' = ∇·v,   s' = −(∇v)ᵀ s − ∇(∇·v),

by K equal steps of the classical Runge–Kutta method, with the log-determinant ℓ and the score s
beside the paths. It never folds where the steps are short enough. Linearisations are by
automatic differentiation, but for the block velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor
from torch.func import functional_call

from ..errors import InputError
from .base import PushForward, Transported
from .chunk import Workspace
from .frame import Frame
from .linearization import Linearizer
from .module import ModuleLinearizer
from .ode_linearization import OdeLinearizer
from .potential_velocities import PotentialVelocity, ResidualPotential
from .velocity_networks import BlockVelocity, VelocityNetwork, integrate


class VelocityFlow(PushForward):
    """T of `network`, in K `steps`; θ is that of the network. At the start v = 0.

    Errors: `InputError` for less than one step.
    """

    def __init__(self, network: VelocityNetwork, steps: int) -> None:
        if steps < 1:
            raise InputError(f"the flow of a velocity needs at least one step, got {steps}")
        super().__init__(network.dimension)
        self.network, self.steps = network, steps

    def lay_out(self, frame: Frame) -> None:
        self.network.lay_out(frame)

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "velocity-flow", "velocity": described_network(self.network),
            "steps": self.steps,
        }  # fmt: skip

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described."""
        return cls(rebuilt_network(description["velocity"]), description["steps"])

    def forward(self, z: Tensor) -> Tensor:
        return integrate(self.network, z, self.steps)

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        if isinstance(self.network, BlockVelocity):
            return OdeLinearizer(self.network, self.steps, workspace)
        return ModuleLinearizer(self, workspace)

    def _named(self) -> dict[str, Tensor]:
        return dict(self.named_parameters())

    def _apply_at(self, parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        x: Tensor = functional_call(self, parameters, (z,))
        return x

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        volume = torch.zeros_like(z[:, :1])
        y = torch.cat([z, volume, *([] if score is None else [score])], 1)
        rate = self._rate if score is None else self._rate_with_score
        y = integrate(rate, y, self.steps)
        d = self.dimension
        sound = y.detach().isfinite().all(1)
        return Transported(y[:, :d], y[:, d], sound, None if score is None else y[:, d + 1 :])

    def _rate(self, time: float, y: Tensor) -> Tensor:
        v, divergence = self.network.with_divergence(time, y[:, :-1])
        return torch.cat([v, divergence[:, None]], 1)

    def _rate_with_score(self, time: float, y: Tensor) -> Tensor:
        x, _, score = y.split([self.dimension, 1, self.dimension], 1)
        v, divergence, change = self.network.with_score(time, x, score)
        return torch.cat([v, divergence[:, None], change], 1)


Description = Mapping[str, Any]
_KINDS: dict[str, tuple[type[VelocityNetwork], Callable[[Description], VelocityNetwork]]] = {
    "block": (
        BlockVelocity,
        lambda d: BlockVelocity(d["dimension"], d["width"], linear=d["linear"]),
    ),
    "potential": (PotentialVelocity, lambda d: PotentialVelocity(d["dimension"], d["width"])),
    "residual": (
        ResidualPotential,
        lambda d: ResidualPotential(d["dimension"], d["width"], d["layers"]),
    ),
}


def described_network(network: VelocityNetwork) -> dict[str, Any]:
    """Plain data from which `rebuilt_network` builds one of the same kind and size. Errors:
    `InputError` for a user's own, which plain data cannot describe."""
    for kind, (known, _) in _KINDS.items():
        if type(network) is known:
            return {"kind": kind, **network.description()}
    raise InputError(f"a {type(network).__name__} cannot be made again from plain data")


def rebuilt_network(description: Description) -> VelocityNetwork:
    """The network that `described_network` has described. Errors: `KeyError`, `TypeError` for a
    damaged description."""
    return _KINDS[description["kind"]][1](description)
