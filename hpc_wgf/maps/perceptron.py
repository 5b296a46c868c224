"""Residual multilayer perceptron: T = Id + R, R with tanh layers [PWGF (5.4)]."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import (
    Linearization,
    ParameterLayer,
    PushForward,
    Transported,
    flatten,
    identity_like,
    weight_index,
    with_one,
)
from .features import FeatureOptions, initial_features
from .volume import transport_by_gradient


class ResidualPerceptron(PushForward):
    """T(z) = z + W_L tanh(… tanh(W_0 z + b_0) …) + b_L.

    θ = (W_0, b_0, …, W_L, b_L). Only the last layer is 0 at the start: with all layers small,
    nothing but the last bias could move.
    """

    def __init__(
        self,
        dimension: int,
        widths: tuple[int, ...],
        *,
        chunk: int = 512,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        if not widths:
            raise InputError("a residual perceptron needs at least one hidden layer")
        self.chunk = chunk
        generator = torch.Generator().manual_seed(options.get("seed", 0) + 1)
        first = initial_features(widths[0], dimension, **options)
        self.layers = nn.ParameterList()  # W_0, b_0, W_1, b_1, …
        self._append(*first)
        for before, after in pairwise(widths):
            W = torch.randn(after, before, generator=generator, dtype=torch.float64)
            self._append(W / before**0.5, torch.zeros(after))
        self._append(torch.zeros(dimension, widths[-1]), torch.zeros(dimension))

    def _append(self, W: Tensor, b: Tensor) -> None:
        for value in (W, b):
            self.layers.append(nn.Parameter(value.to(torch.get_default_dtype())))

    @property
    def weights(self) -> list[Tensor]:
        """W_0 … W_L."""
        return list(self.layers)[0::2]

    @property
    def biases(self) -> list[Tensor]:
        """b_0 … b_L."""
        return list(self.layers)[1::2]

    def _activations(self, z: Tensor) -> list[Tensor]:
        """[z, tanh(W_0 z + b_0), …]: the input of every layer."""
        inputs = [z]
        for W, b in list(zip(self.weights, self.biases, strict=True))[:-1]:
            inputs.append(torch.tanh(torch.addmm(b, inputs[-1], W.T)))
        return inputs

    def forward(self, z: Tensor) -> Tensor:
        return z + torch.addmm(self.biases[-1], self._activations(z)[-1], self.weights[-1].T)

    def _with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T and ∇T = I + W_L D_L W_{L−1} … D_1 W_0, the product taken from the right."""
        inputs = self._activations(z)
        gradient = self.weights[0].expand(z.shape[0], -1, -1)
        for a, W in zip(inputs[1:], self.weights[1:], strict=True):
            gradient = W @ ((1 - a * a)[:, :, None] * gradient)
        x = z + torch.addmm(self.biases[-1], inputs[-1], self.weights[-1].T)
        return x, gradient + identity_like(z)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return transport_by_gradient(self._with_gradient, z, score, chunk=self.chunk)

    @torch.no_grad()
    def linearize(self, z: Tensor) -> Linearization:
        inputs = self._activations(z)
        weights = [W.detach().clone() for W in self.weights]
        return _PerceptronLinearization(self, inputs, [1 - a * a for a in inputs[1:]], weights)


@dataclass(frozen=True)
class _PerceptronLinearization:
    """ds_ℓ = da_ℓ W_ℓᵀ + a_ℓ dW_ℓᵀ + db_ℓ, da_{ℓ+1} = a'_ℓ ∘ ds_ℓ; backwards the transpose."""

    map: ResidualPerceptron
    inputs: list[Tensor]  # (n, width) per layer
    slopes: list[Tensor]  # (n, width) per hidden layer
    weights: list[Tensor]

    def jvp(self, v: Tensor, dz: Tensor | None = None) -> Tensor:
        parts = list(self.map.split(v))
        da = dz
        ds = self.inputs[0]
        for k, W in enumerate(self.weights):
            ds = torch.addmm(parts[2 * k + 1], self.inputs[k], parts[2 * k].T)
            if da is not None:
                ds.addmm_(da, W.T)
            if k < len(self.slopes):
                da = ds.mul_(self.slopes[k])
        return ds if dz is None else ds.add_(dz)

    def vjp(self, u: Tensor, *, inputs: bool = False) -> tuple[Tensor, Tensor | None]:
        grads = []
        g = u
        for k in range(len(self.weights) - 1, -1, -1):
            grads += [g.sum(0), g.T @ self.inputs[k]]
            if k > 0:
                g = (g @ self.weights[k]).mul_(self.slopes[k - 1])
        back = torch.addmm(u, g, self.weights[0]) if inputs else None
        return flatten(*reversed(grads)), back

    def layers(self, directions: Tensor) -> tuple[list[ParameterLayer], Tensor]:
        layers: list[ParameterLayer] = []
        end, sensitivity = self.map.parameter_count(), directions
        for k in range(len(self.weights) - 1, -1, -1):
            (h, width), a = self.weights[k].shape, self.inputs[k]
            end -= h * (width + 1)
            index = weight_index(h, width, end, end + h * width, a.device)
            layers.insert(0, ParameterLayer(sensitivity, with_one(a), index))
            sensitivity = sensitivity @ self.weights[k]
            if k > 0:
                sensitivity.mul_(self.slopes[k - 1][:, None])
        return layers, directions + sensitivity
