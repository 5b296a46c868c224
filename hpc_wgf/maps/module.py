"""A user's own `nn.Module` as a push-forward map, through `torch.func`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap

from ..errors import InputError
from .base import (
    Linearization,
    ParameterLayer,
    PushForward,
    Transported,
    flatten,
    weight_index,
)
from .volume import transport_by_gradient


class ModuleMap(PushForward):
    """T(z) = N_θ(z) for a module N: (n, d) → (n, d), acting on each sample alone.

    With `anchored`, T(z) = z + N_θ(z) − N_θ₀(z), the identity at the start whatever N is.
    Slower than the built-in maps: nothing is cached between products.
    """

    def __init__(
        self, dimension: int, module: nn.Module, *, anchored: bool = False, chunk: int = 512
    ) -> None:
        super().__init__(dimension)
        frozen = [name for name, value in module.named_parameters() if not value.requires_grad]
        if frozen:
            raise InputError(
                f"the module's parameters {', '.join(frozen)} are frozen, but a flow moves every "
                "parameter: register them as buffers"
            )
        self.module = module
        self.chunk = chunk
        self.anchored = anchored
        if anchored:
            for k, value in enumerate(module.parameters()):
                self.register_buffer(f"anchor_{k}", value.detach().clone())

    def _named(self) -> dict[str, Tensor]:
        return dict(self.module.named_parameters())

    def _apply_at(self, parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        x = functional_call(self.module, parameters, (z,))
        if not self.anchored:
            return x
        start = {name: self.get_buffer(f"anchor_{k}") for k, name in enumerate(parameters)}
        return z + (x - functional_call(self.module, start, (z,)))

    def forward(self, z: Tensor) -> Tensor:
        return self._apply_at(self._named(), z)

    def _with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gradient = vmap(jacrev(lambda point: self(point[None])[0]))(z)
        return self(z), gradient

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return transport_by_gradient(self._with_gradient, z, score, chunk=self.chunk)

    def linearize(self, z: Tensor) -> Linearization:
        parameters = {name: value.detach().clone() for name, value in self._named().items()}
        return _FunctionalLinearization(self, z, parameters)


class _FunctionalLinearization:
    def __init__(self, map: ModuleMap, z: Tensor, parameters: dict[str, Tensor]) -> None:
        self.map, self.z, self.parameters = map, z, parameters

    def _function(self) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
        return lambda parameters, z: self.map._apply_at(parameters, z)

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        tangents = dict(zip(self.parameters, self.map.split(v), strict=True))
        dz = torch.zeros_like(self.z) if dz is None else dz
        return jvp(self._function(), (self.parameters, self.z), (tangents, dz))[1]

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        grads, back = vjp(self._function(), self.parameters, self.z)[1](u)
        return flatten(*grads.values()), back if inputs else None

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        """All of θ as one layer with the input 1: its sensitivity is eᵀJ itself."""

        def pulled(z: Tensor, e: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            return vjp(
                lambda parameters, point: self.map._apply_at(parameters, point[None])[0],
                self.parameters,
                z,
            )[1](e)

        grads, back = vmap(vmap(pulled, (None, 0)))(self.z, directions)
        rows = torch.cat([grad.flatten(2) for grad in grads.values()], 2)
        index = weight_index(rows.shape[2], 1, 0, None, rows.device)
        return [ParameterLayer(rows, torch.ones_like(self.z[:, :1]), index)], back
