"""∇T at samples as a function of θ, and its derivative there as products with vectors.

A velocity θ' = v moves the samples by u = J v and deforms ∇T at the rate D = ∂_θ∇T v, so that
∇u = D (∇T)⁻¹ at the images. All is found by reverse differentiation of T itself, for any map of
torch functions: ∇T row by row, (∂_θ∇T)ᵀS from it, and D v as the derivative of vᵀ(∂_θ∇T)ᵀS by S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import grad
from torch.func import functional_call

from ...maps import PushForward


class _Graph(NamedTuple):
    """What is differentiated."""

    theta: Tensor
    gradient: Tensor
    """∇T(θ), (n, d, d)."""
    cotangent: Tensor
    """S, (n, d, d)."""
    pulled: Tensor
    """(∂_θ∇T)ᵀS, (p,)."""


@dataclass(frozen=True)
class Deformation:
    """∇T of a map at the samples of a chunk."""

    map: PushForward
    """T."""
    theta: Tensor
    """θ, (p,)."""
    z: Tensor
    """The samples, (n, d)."""
    keep: bool = True
    """Whether what products need is kept, about 4d times the activations of the map; else it is
    computed anew in each, with the same results."""

    def gradient(self) -> Tensor:
        """∇T, (n, d, d)."""
        return self._of(lambda graph: graph.gradient.detach())

    def rate(self, v: Tensor) -> Tensor:
        """D = ∂_θ∇T v, (n, d, d), for v, (p,)."""
        return self._of(lambda graph: _derivative(graph.pulled, graph.cotangent, v))

    def rates(self, v: Tensor) -> Tensor:
        """D for several v, (k, p): (k, n, d, d)."""
        return self._of(lambda graph: torch.stack([
            _derivative(graph.pulled, graph.cotangent, each) for each in v
        ]))  # fmt: skip

    def pulled(self, rate: Tensor) -> Tensor:
        """Σᵢ (∂_θ∇T)ᵀ S, (p,), summed over the samples, for S, (n, d, d)."""
        return self._of(lambda graph: _derivative(graph.gradient, graph.theta, rate))

    def _of(self, use: Callable[[_Graph], Tensor]) -> Tensor:
        return use(self._kept if self.keep else self._graph())

    @cached_property
    def _kept(self) -> _Graph:
        return self._graph()

    @torch.enable_grad()
    def _graph(self) -> _Graph:
        theta, z = (each.detach().requires_grad_() for each in (self.theta, self.z))
        names = [name for name, _ in self.map.named_parameters()]
        x = functional_call(self.map, dict(zip(names, self.map.split(theta), strict=True)), (z,))
        rows = [
            grad(x[:, i].sum(), z, create_graph=True, materialize_grads=True)[0]
            for i in range(x.shape[1])
        ]
        gradient = torch.stack(rows, 1)
        cotangent = torch.zeros_like(gradient).requires_grad_()
        pulled = grad(gradient, theta, cotangent, create_graph=True, materialize_grads=True)[0]
        return _Graph(theta, gradient, cotangent, pulled)


def _derivative(value: Tensor, by: Tensor, along: Tensor) -> Tensor:
    """(∂value/∂by)ᵀ `along`, of the shape of `by`."""
    (found,) = grad(value, by, along, retain_graph=True, materialize_grads=True)
    return found
