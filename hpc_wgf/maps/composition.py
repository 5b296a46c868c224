"""Composition: T = T_L ∘ … ∘ T_1, by the chain rule of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import Linearization, ParameterLayer, PushForward, Transported, flatten


class Composition(PushForward):
    """Parts in the order in which they act; θ is theirs in the same order."""

    def __init__(self, *parts: PushForward) -> None:
        if not parts:
            raise InputError("a composition needs at least one map")
        if len({id(part) for part in parts}) < len(parts):
            raise InputError("a map stands twice in a composition: make a second one, or a copy")
        dimensions = {part.dimension for part in parts}
        if len(dimensions) > 1:
            raise InputError(f"the parts of a composition differ in dimension: {dimensions}")
        super().__init__(parts[0].dimension)
        self.parts = nn.ModuleList(parts)

    def _maps(self) -> Sequence[PushForward]:
        return list(self.parts)  # type: ignore[arg-type]

    def forward(self, z: Tensor) -> Tensor:
        for part in self.parts:
            z = part(z)
        return z

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        first, *rest = self._maps()
        image = first.transport(z, score)
        for part in rest:
            step = part.transport(image.x, image.score)
            image = Transported(
                step.x, image.log_det + step.log_det, image.positive & step.positive, step.score
            )
        return image

    @torch.no_grad()
    def linearize(self, z: Tensor) -> Linearization:
        linearizations = []
        for part in self._maps():
            linearizations.append(part.linearize(z))
            z = part(z)
        sizes = [part.parameter_count() for part in self._maps()]
        return _ChainRule(linearizations, sizes)


@dataclass(frozen=True)
class _ChainRule:
    """dx_ℓ = J_ℓ v_ℓ + ∇T_ℓ dx_{ℓ−1}, and its transpose."""

    parts: list[Linearization]
    sizes: list[int]

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        for part, part_v in zip(self.parts, v.split(self.sizes), strict=True):
            dz = part.jvp(part_v, dz)
        assert dz is not None
        return dz

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        grads = []
        back: Tensor | None = u
        for k in range(len(self.parts) - 1, -1, -1):
            assert back is not None
            grad, back = self.parts[k].vjp(back, inputs=inputs or k > 0)
            grads.append(grad)
        return flatten(*reversed(grads)), back

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        layers: list[ParameterLayer] = []
        offset = sum(self.sizes)
        for part, size in zip(reversed(self.parts), reversed(self.sizes), strict=True):
            offset -= size
            own, directions = part.layers(directions)
            layers = [layer.moved(offset) for layer in own] + layers
        return layers, directions
