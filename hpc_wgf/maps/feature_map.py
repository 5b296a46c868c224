"""Maps T(x) = x + A x + a + Σ_k c_k φ_k(x), whose features φ_k: ℝᵈ → ℝ serve all coordinates and
depend on no parameter.

With M = ∇T = I + A + Σ_k c_k ∇φ_kᵀ, a (d, d) matrix at every sample, the change of volume has the
gradient ∇ log|det M| = Σ_k ∇²φ_k M⁻¹c_k.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..constants import places
from ..gpu import LinearizedChain
from . import elimination
from .base import PushForward, Transported, identity_like
from .chunk import Chunk, Matrices, Workspace, sum_over_samples
from .layer import ParameterLayer, samples_first, weight_index
from .linear import LinearFeatures
from .linearization import Linearizer


class FeatureMap(PushForward):
    """T(x) = x + A x + a + Σ_k c_k φ_k(x) with q features; a subclass provides them.

    θ = (c, A, a) as one matrix (d, q + d + 1), 0 at the start; p = d (q + d + 1). A subclass whose
    map must not be linear in all coordinates says in which it may be; A has columns for these.
    """

    damping: ClassVar[float] = 0.0
    """δ of every feature, in units of φ_k² (see `LinearFeatures.damping`)."""

    def __init__(self, dimension: int, features: int, linear: Sequence[int] | None = None) -> None:
        """`linear`: the coordinates in which the map may be linear; all by default."""
        super().__init__(dimension)
        self._linear = list(range(dimension) if linear is None else linear)
        self.c = nn.Parameter(torch.zeros(dimension, features + len(self._linear) + 1))

    @property
    def feature_count(self) -> int:
        """q."""
        return self.c.shape[1] - len(self._linear) - 1

    @abstractmethod
    def values(self, z: Tensor) -> Tensor:
        """φ_k(z), z: (d, n) → (q, n)."""

    @abstractmethod
    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        """∇φ_k(z), (q, d, n). `values`: those at z, (q, n)."""

    @abstractmethod
    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        """Σ_k ∇²φ_k(z) w_k, (d, n), for a vector of every feature and sample, w: (q, d, n)."""

    def forward(self, z: Tensor) -> Tensor:
        return self._image(z, self.values(z.T))

    def _image(self, z: Tensor, values: Tensor) -> Tensor:
        return torch.addmm(z, self._joined(z, values).T, self.c.T)

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        values = self.values(z.T)
        gradient = self._gradient(self.slopes(z.T, values))
        x = self._image(z, values)
        if score is None:
            return Transported(x, *elimination.volume(gradient), None)
        inverse, log_det, positive = elimination.inverse(gradient)
        (q, n), d = values.shape, self.dimension
        w = (self.c[:, :q].T @ inverse.transpose(0, 1).reshape(d, d * n)).view(q, d, n)
        inner = score - self.curvature_times(z.T, values, w).T
        return Transported(x, log_det, positive, elimination.transposed_times(inverse, inner))

    def _gradient(self, slopes: Tensor) -> Tensor:
        """∇T, (d, d, n), from the slopes of the features, (q, d, n)."""
        q, d, n = slopes.shape
        change = (self.c[:, :q] @ slopes.reshape(q, d * n)).view(d, d, n)
        return change + self.linear_part(self.c)[:, :, None]

    def linear_part(self, c: Tensor) -> Tensor:
        """I + A, (d, d), of parameters c, (d, q + number of linear coordinates + 1)."""
        d = len(c)
        A = c[:, -len(self._linear) - 1 : -1]
        eye = torch.eye(d, dtype=c.dtype, device=c.device)
        if len(self._linear) == d:
            return A + eye
        return eye.index_add(1, places(self._linear, c), A)

    def linear_coordinates(self, z: Tensor) -> Tensor:
        """Those of the coordinates z, (d, n), in which the map may be linear."""
        return z if len(self._linear) == len(z) else z[places(self._linear, z)]

    def _joined(self, z: Tensor, values: Tensor) -> Tensor:
        """(φ, z, 1), (q + d + 1, n), for z: (n, d)."""
        return torch.cat([values, self.linear_coordinates(z.T), torch.ones_like(z.T[:1])])

    def linear_features(self, z: Tensor) -> LinearFeatures:
        n, d = z.shape
        values = self.values(z.T)
        constant = z.new_zeros(1, d)
        affine = torch.cat([self.linear_coordinates(identity_like(z)), constant])
        affine = affine[:, :, None].expand(-1, -1, n)
        index = weight_index(d, self.c.shape[1], 0, None, z.device)
        return LinearFeatures(
            self._joined(z, values)[None],
            torch.cat([self.slopes(z.T, values), affine])[None],
            index.T[None],
            damping=self._damped(z),
        )

    def _damped(self, z: Tensor) -> Tensor | None:
        """`LinearFeatures.damping`: an affine motion is not damped."""
        if not self.damping:
            return None
        affine = len(self._linear) + 1
        ones = torch.ones(self.c.shape[1] - affine, dtype=torch.float64, device=z.device)
        return self.damping * torch.cat([ones, ones.new_zeros(affine)])

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _FeatureLinearizer(self, workspace)


class _FeatureLinearizer(Linearizer):
    """Keeps (φ, z, 1) of every sample; θ is packed as it is. The slopes of the features, which
    only products with ∇T need, are computed anew."""

    def __init__(self, map: FeatureMap, workspace: Workspace | None) -> None:
        self.map, self.c = map, map.c.detach().clone()
        self.linear = map.linear_part(self.c)
        (d, k), device = self.c.shape, self.c.device
        self.places = weight_index(d, k, 0, None, device)
        # Where not all coordinates are among them, z follows what is multiplied by θ.
        rows = k if k > map.feature_count + d else k + d
        super().__init__(
            d, self.c, rows=rows, shapes=[(d, k)], places=[self.places], workspace=workspace
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _FeatureChunk(self, storage)


class _FeatureChunk:
    """dT = dc φ + dA z + da + ∇T dz."""

    def __init__(self, shared: _FeatureLinearizer, storage: Tensor) -> None:
        (d, k), n = shared.c.shape, storage.shape[1]
        q = shared.map.feature_count
        self.shared, self.input = shared, storage[:k]
        self.values, self.affine, self.ones = self.input.split([q, k - q - 1, 1])
        self.z = self.affine if len(storage) == k else storage[k:]
        self.weights = shared.c[:, :q]
        self.out, self.back = shared.buffer("out", d, n), shared.buffer("back", d, n)

    def fill(self, z: Tensor) -> Tensor:
        self.values.copy_(self.shared.map.values(z))
        self.z.copy_(z)
        if self.affine is not self.z:
            self.affine.copy_(self.shared.map.linear_coordinates(z))
        self.ones.fill_(1)
        return torch.addmm(z, self.shared.c, self.input, out=self.out)

    def _slopes(self) -> Tensor:
        return self.shared.map.slopes(self.z, self.values)

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        dx = torch.mm(direction[0], self.input, out=self.out)
        if dz is None:
            return dx
        return dx.addmm_(self.shared.linear, dz).addmm_(self.weights, (self._slopes() * dz).sum(1))

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        sum_over_samples(u, self.input, grads[0])
        if not inputs:
            return None
        back = torch.mm(self.shared.linear.T, u, out=self.back)
        return back.add_((self._slopes() * (self.weights.T @ u)[:, None]).sum(0))

    def chain(self) -> LinearizedChain:
        """What a fused product needs."""
        return LinearizedChain(self.input, None)

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        input = samples_first(self.input)
        layer = ParameterLayer(directions, input, self.shared.places, on_outputs=True)
        if not inputs:
            return [layer], None
        bent = torch.einsum("nek,kjn->nej", directions @ self.weights, self._slopes())
        return [layer], directions @ self.shared.linear + bent
