"""Residual multilayer perceptron: T = Id + R, R with tanh layers [PWGF (5.4)]."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import PushForward, Transported, identity_like
from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linearization import Linearizer
from .volume import transport_by_gradient

_KEPT = 4  # (d, width) matrices of a layer that its second derivative keeps


class ResidualPerceptron(PushForward):
    """T(z) = z + W_L tanh(… tanh(W_0 z + b_0) …) + b_L with hidden layers of the given `widths`.

    θ = (W_0, b_0, …, W_L, b_L). Only the last layer is 0 at the start: were all of them 0, only
    its bias would have a gradient that is not 0. The options are those of `initial_features` for
    the first layer. `chunk`: samples whose scores are computed together on a CPU, which bounds the
    memory; on a GPU a share of its memory does.

    Errors: `InputError` for no hidden layer, or features that do not fit the dimension.
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
        self.chunk, self._options = chunk, options
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

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.weights[0], self.biases[0], frame, self._options)

    def architecture(self) -> dict[str, Any]:
        widths = [len(W) for W in self.weights[:-1]]
        return {"kind": "perceptron", "dimension": self.dimension, "widths": widths}

    @property
    def weights(self) -> list[Tensor]:
        """W_0, …, W_L."""
        return list(self.layers)[0::2]

    @property
    def biases(self) -> list[Tensor]:
        """b_0, …, b_L."""
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
        """T(z), and ∇T = I + W_L D_L W_{L−1} … D_1 W_0, D_ℓ = diag(tanh'), from the right."""
        inputs = self._activations(z)
        gradient = self.weights[0].expand(z.shape[0], -1, -1)
        for a, W in zip(inputs[1:], self.weights[1:], strict=True):
            gradient = W @ ((1 - a * a)[:, :, None] * gradient)
        x = z + torch.addmm(self.biases[-1], inputs[-1], self.weights[-1].T)
        return x, gradient + identity_like(z)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        widths = sum(len(W) for W in self.weights[:-1])
        return transport_by_gradient(
            self._with_gradient, z, score, chunk=self.chunk,
            bytes_per_sample=_KEPT * self.dimension * widths * z.element_size(),
        )  # fmt: skip

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _PerceptronLinearizer(self, workspace)


class _PerceptronLinearizer(Linearizer):
    """Keeps (z, 1), (a_1, 1), …, (a_L, 1) of every sample, a_ℓ the activations of hidden layer ℓ;
    θ is packed as (W_0, b_0), …, (W_L, b_L)."""

    def __init__(self, map: ResidualPerceptron, workspace: Workspace | None) -> None:
        pairs = zip(map.weights, map.biases, strict=True)
        self.joined = [torch.cat([W, b[:, None]], 1).detach() for W, b in pairs]
        self.weights = [W.detach().clone() for W in map.weights]
        end = 0
        self.places: list[Tensor] = []
        for W in self.weights:
            bias = end + W.numel()
            h, k = W.shape
            self.places.append(weight_index(h, k, end, bias, W.device))
            end = bias + W.shape[0]
        super().__init__(
            map.dimension,
            self.weights[0],
            rows=sum(V.shape[1] for V in self.joined),
            shapes=[V.shape for V in self.joined],
            places=self.places,
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _PerceptronChunk(self, storage)


class _PerceptronChunk:
    """ds_ℓ = dW_ℓ a_ℓ + db_ℓ + W_ℓ da_ℓ, da_{ℓ+1} = tanh'(s_ℓ) ∘ ds_ℓ, a_0 = z; and the transpose
    from the last layer to the first."""

    def __init__(self, shared: _PerceptronLinearizer, storage: Tensor) -> None:
        n, weights = storage.shape[1], shared.weights
        self.shared = shared
        self.inputs = storage.split([V.shape[1] for V in shared.joined])  # (a, 1) of every layer
        self.activations = [x[:-1] for x in self.inputs]
        self.changes = [shared.shared_buffer(k, len(W), n) for k, W in enumerate(weights[:-1])]
        self.out = shared.buffer("out", shared.dimension, n)
        self.back = shared.buffer("back", shared.dimension, n)

    def fill(self, z: Tensor) -> Tensor:
        self.activations[0].copy_(z)
        for x in self.inputs:
            x[-1].fill_(1)
        for V, x, a in zip(self.shared.joined, self.inputs, self.activations[1:], strict=False):
            torch.mm(V, x, out=a).tanh_()
        return torch.mm(self.shared.joined[-1], self.inputs[-1], out=self.out).add_(z)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        da = dz
        outputs = [*self.changes, self.out]
        for k, (W, ds) in enumerate(zip(self.shared.weights, outputs, strict=True)):
            torch.mm(direction[k], self.inputs[k], out=ds)
            if da is not None:
                ds.addmm_(W, da)
            da = ds if ds is self.out else damp_(ds, self.activations[k + 1])
        return self.out if dz is None else self.out.add_(dz)

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        g, weights = u, self.shared.weights
        for k in range(len(weights) - 1, 0, -1):
            sum_over_samples(g, self.inputs[k], grads[k])
            g = torch.mm(weights[k].T, g, out=self.changes[k - 1])
            damp_(g, self.activations[k])
        sum_over_samples(g, self.inputs[0], grads[0])
        return torch.addmm(u, weights[0].T, g, out=self.back) if inputs else None

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        layers: list[ParameterLayer] = []
        sensitivity = directions
        for k in range(len(self.inputs) - 1, -1, -1):
            input = samples_first(self.inputs[k])
            last = k == len(self.inputs) - 1
            places = self.shared.places[k]
            layers.insert(0, ParameterLayer(sensitivity, input, places, on_outputs=last))
            sensitivity = sensitivity @ self.shared.weights[k]
            if k > 0:
                sensitivity.mul_(1 - input[:, None, :-1].square())
        return layers, directions + sensitivity
