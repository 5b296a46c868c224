"""Baselines: products with Ĝ by automatic differentiation, and PWGF with such products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from ..choices import Metric
from ..ensemble import Ensemble
from ..errors import InputError
from ..maps import MapState, PushForward, flatten
from ..methods.pwgf import PWGF
from ..methods.pwgf.normal_equations import NormalEquations
from ..metric import GramOperator


def torch_func_product(map: PushForward, groups: Sequence[Tensor], v: Tensor, n: int) -> Tensor:
    """Ĝ v = (1/n) Σ Jᵀ(J v) by torch.func's jvp and vjp, (p,) → (p,).

    `groups`: samples that are taken together, (n_k, d) each; `n`: samples of all ranks.
    """
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
    """Ĝ v = Jᵀ(J v)/n with J v = ∂_u ⟨Jᵀu, v⟩, as in the papers' codes; z: (n, d), v: (p,) → (p,).

    The gradient Jᵀu is differentiated, whose graph is built anew in every product.
    """
    parameters = list(map.parameters())
    with torch.enable_grad():
        x = map(z)
        u = torch.zeros_like(x, requires_grad=True)
        pulled = torch.autograd.grad(x, parameters, u, create_graph=True)
        parts = zip(pulled, map.split(v), strict=True)
        inner = torch.stack([(gradient * part).sum() for gradient, part in parts]).sum()
        (moved,) = torch.autograd.grad(inner, u, retain_graph=True)
        return flatten(*torch.autograd.grad(x, parameters, moved / len(z)))


@dataclass(frozen=True, kw_only=True)
class TorchFuncGram(GramOperator):
    """Ĝ at the present parameters of a map, its products by `torch_func_product`."""

    map: PushForward
    """The map T."""
    groups: Sequence[Tensor]
    """The samples of this rank in groups that are taken together, (n_k, d) each."""

    def matvec(self, v: Tensor) -> Tensor:
        n = self.ensemble.total
        return self.ensemble.communicator.sum(torch_func_product(self.map, self.groups, v, n))


class TorchFuncPWGF(PWGF):
    """PWGF with products by torch.func, on the chunks of samples that PWGF itself uses."""

    def system(
        self, map: MapState, ensemble: Ensemble, time: float | None = None
    ) -> NormalEquations:
        projected = self.options.metric_in(self.problem.dimension) is Metric.GRADIENT
        if self.problem.mobility is not None or projected:
            raise InputError(
                "products by torch.func know the metric Ĝ of P = I alone: time problems without a "
                'mobility, and leave metric = "gradient" out'
            )
        system = super().system(map, ensemble, time)
        groups = self._grouped(system)
        gram = TorchFuncGram(system.gram.chunks, ensemble, map=map.map, groups=groups)
        return replace(system, gram=gram)

    def _grouped(self, system: NormalEquations) -> list[Tensor]:
        return system.points


class WholeTorchFuncPWGF(TorchFuncPWGF):
    """PWGF with products by torch.func, on all samples of a rank at once."""

    def _grouped(self, system: NormalEquations) -> list[Tensor]:
        return [torch.cat(system.points)]
