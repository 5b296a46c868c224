"""Products with Ĝ as others form them, and maps whose products are formed so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from ..maps import ModuleMap, PushForward, Transported, flatten


def torch_func_product(map: PushForward, groups: Sequence[Tensor], v: Tensor) -> Tensor:
    """Ĝ v = (1/n) Σ Jᵀ(J v), by torch.func's jvp and vjp on every group of samples (n_k, d);
    v: (p,)."""
    parameters = {name: value.detach() for name, value in map.named_parameters()}
    tangents = dict(zip(parameters, map.split(v), strict=True))
    n, total = sum(len(z) for z in groups), torch.zeros_like(v)
    for z in groups:

        def pushed(values: dict[str, Tensor], z: Tensor = z) -> Tensor:
            return functional_call(map, values, (z,))

        moved = jvp(pushed, (parameters,), (tangents,))[1]
        (grads,) = vjp(pushed, parameters)[1](moved / n)
        total += flatten(*grads.values())
    return total


def double_backward_product(map: PushForward, z: Tensor, v: Tensor) -> Tensor:
    """Ĝ v as the papers' codes have it: J v = ∂_u ⟨Jᵀu, v⟩, by differentiating a gradient whose
    graph is built for every product; then Jᵀ by a gradient. z: (n, d), v: (p,)."""
    parameters = list(map.parameters())
    with torch.enable_grad():
        x = map(z)
        u = torch.zeros_like(x, requires_grad=True)
        pulled = torch.autograd.grad(x, parameters, u, create_graph=True)
        parts = zip(pulled, map.split(v), strict=True)
        inner = torch.stack([(gradient * part).sum() for gradient, part in parts]).sum()
        (moved,) = torch.autograd.grad(inner, u, retain_graph=True)
        return flatten(*torch.autograd.grad(x, parameters, moved / len(z)))


class TorchFuncMap(ModuleMap):
    """A map whose images and volumes are its own but whose linearisation is torch.func's."""

    def __init__(self, map: PushForward) -> None:
        super().__init__(map.dimension, map)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        own = self.module
        assert isinstance(own, PushForward)
        return own.transport(z, score)
