"""Products with Ĝ as others form them, and the method on such products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from ..ensemble import Ensemble
from ..maps import MapState, PushForward, flatten
from ..methods.pwgf import PWGF
from ..methods.pwgf.normal_equations import NormalEquations
from ..metric import GramOperator


def torch_func_product(map: PushForward, groups: Sequence[Tensor], v: Tensor, n: int) -> Tensor:
    """Ĝ v = (1/n) Σ Jᵀ(J v), by torch.func's jvp and vjp on every group of samples (n_k, d);
    v: (p,)."""
    parameters = {name: value.detach() for name, value in map.named_parameters()}
    tangents = dict(zip(parameters, map.split(v), strict=True))
    total = torch.zeros_like(v)
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


@dataclass(frozen=True)
class TorchFuncGram(GramOperator):
    """Ĝ whose products are torch.func's. `groups`: this rank's samples, (n_k, d) each; the
    parameters are those that `map` has at the time."""

    map: PushForward
    groups: Sequence[Tensor]

    def matvec(self, v: Tensor) -> Tensor:
        n = self.ensemble.total
        return self.ensemble.communicator.sum(torch_func_product(self.map, self.groups, v, n))


class TorchFuncPWGF(PWGF):
    """The method with nothing but its products replaced, by torch.func on its own groups of
    samples."""

    def system(self, map: MapState, ensemble: Ensemble) -> NormalEquations:
        system = super().system(map, ensemble)
        groups = self._grouped(system)
        gram = TorchFuncGram(system.gram.chunks, ensemble, map.map, groups)
        return replace(system, gram=gram)

    def _grouped(self, system: NormalEquations) -> list[Tensor]:
        return system.points


class WholeTorchFuncPWGF(TorchFuncPWGF):
    """The same on all samples of a rank at once."""

    def _grouped(self, system: NormalEquations) -> list[Tensor]:
        return [torch.cat(system.points)]
