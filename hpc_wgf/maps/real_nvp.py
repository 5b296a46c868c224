"""Real NVP: coupling layers, each of which scales and shifts half of the coordinates by functions
of the others. Volumes, scores and inverses are explicit.

Source: L. Dinh, J. Sohl-Dickstein, S. Bengio, ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, Unpack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace, damp_, sum_over_samples
from .composition import Composition
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .layer import ParameterLayer, samples_first, weight_index
from .linearization import Linearizer


class CouplingLayer(PushForward):
    """x_m = z_m ∘ e^s + t, (s, t) = v + V tanh(W z_f + c), of moved coordinates z_m and fixed z_f.

    Every second coordinate is fixed, with `odd` those of odd number. θ = (W (h, d_f), c (h,),
    V (2 d_m, h), v (2 d_m,)), V = v = 0 at the start. The options are those of `initial_features`
    for W and c.

    Errors: `InputError` for one dimension, and for features that do not fit the dimension.
    """

    def __init__(
        self, dimension: int, width: int, *, odd: bool = False, **options: Unpack[FeatureOptions]
    ) -> None:
        super().__init__(dimension)
        if dimension < 2:
            raise InputError("a real-nvp map needs at least 2 coordinates: take a spline in 1-D")
        self.odd = odd
        self.fixed, self.moved = slice(int(odd), None, 2), slice(int(not odd), None, 2)
        self._options = self._of_fixed(options)
        count = len(range(dimension)[self.fixed])
        W, c = initial_features(width, count, **self._options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.c = nn.Parameter(c.to(torch.get_default_dtype()))
        self.V = nn.Parameter(torch.zeros(2 * (dimension - count), width))
        self.v = nn.Parameter(torch.zeros(2 * (dimension - count)))

    def _of_fixed(self, options: FeatureOptions) -> FeatureOptions:
        """The options for the fixed coordinates alone."""
        centre = options.get("centre")
        if centre is None:
            return options
        point = torch.as_tensor(centre, dtype=torch.float64)
        if point.ndim and point.shape != (self.dimension,):
            raise InputError(
                f"the centre of the features has {len(point)} numbers but the dimension is "
                f"{self.dimension}: give {self.dimension} numbers, or one for all"
            )
        return {**options, "centre": point[self.fixed] if point.ndim else point}

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.c, frame.of_coordinates(self.fixed), self._options)

    def _activations(self, z: Tensor) -> Tensor:
        return torch.tanh(torch.addmm(self.c, z[:, self.fixed], self.W.T))

    def _scale_and_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """(s, t), (n, d_m) each."""
        both = torch.addmm(self.v, a, self.V.T)
        half = both.shape[1] // 2
        return both[:, :half], both[:, half:]

    def forward(self, z: Tensor) -> Tensor:
        return self._moved(z, *self._scale_and_shift(self._activations(z)))

    def _moved(self, z: Tensor, s: Tensor, t: Tensor) -> Tensor:
        x = z.clone()
        x[:, self.moved] = z[:, self.moved] * s.exp() + t
        return x

    def inverse(self, x: Tensor) -> Tensor:
        """T⁻¹(x), (n, d) → (n, d)."""
        s, t = self._scale_and_shift(self._activations(x))
        z = x.clone()
        z[:, self.moved] = (x[:, self.moved] - t) * (-s).exp()
        return z

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        a = self._activations(z)
        s, t = self._scale_and_shift(a)
        x, log_det = self._moved(z, s, t), s.sum(1)
        positive = log_det.isfinite()
        if score is None:
            return Transported(x, log_det, positive, None)
        carried = score.clone()
        pulled = carried[:, self.moved] = score[:, self.moved] * (-s).exp()
        # s_f − (∂x_m/∂z_f)ᵀ s_m' − ∇ Σ s
        bent = torch.cat([pulled * (x[:, self.moved] - t) + 1, pulled], 1) @ self.V
        carried[:, self.fixed] -= (bent * (1 - a * a)) @ self.W
        return Transported(x, log_det, positive, carried)

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _CouplingLinearizer(self, workspace)


class RealNVP(Composition):
    """T = T_L ∘ … ∘ T_1 of `layers` coupling layers of width h, which fix coordinates of even and
    odd numbers in turn.

    The options are those of `initial_features`; every layer has a seed of its own.

    Errors: those of `CouplingLayer`, and `InputError` for no layer.
    """

    def __init__(
        self, dimension: int, layers: int, width: int, **options: Unpack[FeatureOptions]
    ) -> None:
        seed = options.get("seed", 0)
        super().__init__(*(
            CouplingLayer(dimension, width, odd=k % 2 == 1, **_seeded(options, seed + k))
            for k in range(layers)
        ))  # fmt: skip

    def architecture(self) -> dict[str, Any]:
        first = self.parts[0]
        assert isinstance(first, CouplingLayer)
        return {
            "kind": "real-nvp", "dimension": self.dimension, "layers": len(self.parts),
            "width": len(first.W),
        }  # fmt: skip

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described."""
        return cls(description["dimension"], description["layers"], description["width"])


def _seeded(options: FeatureOptions, seed: int) -> FeatureOptions:
    return {**options, "seed": seed}


class _CouplingLinearizer(Linearizer):
    """Keeps (z_f, 1, a), e^s and e^s ∘ z_m of every sample; θ is packed as (W, c) and (v, V)."""

    def __init__(self, map: CouplingLayer, workspace: Workspace | None) -> None:
        self.fixed, self.moved = map.fixed, map.moved
        self.W, self.V = map.W.detach().clone(), map.V.detach().clone()
        self.inner = torch.cat([self.W, map.c.detach()[:, None]], 1)
        self.outer = torch.cat([map.v.detach()[:, None], self.V], 1)
        (h, f), m, device = self.W.shape, len(self.V), self.W.device
        end = h * f + h
        bias = weight_index(m, 1, end + m * h, None, device)
        self.places = [
            weight_index(h, f, 0, h * f, device),
            torch.cat([bias, weight_index(m, h, end, None, device)], 1),
        ]
        super().__init__(
            map.dimension,
            self.W,
            rows=f + 1 + h + m,
            shapes=[self.inner.shape, self.outer.shape],
            places=self.places,
            workspace=workspace,
        )

    def chunk(self, storage: Tensor) -> Chunk:
        return _CouplingChunk(self, storage)


class _CouplingChunk:
    """d(s, t) = dv + dV a + V (a' ∘ (dW z_f + dc + W dz_f)), dx_m = e^s (dz_m + z_m ∘ ds) + dt."""

    def __init__(self, shared: _CouplingLinearizer, storage: Tensor) -> None:
        (h, f), n, m = shared.W.shape, storage.shape[1], len(shared.V) // 2
        self.shared, self.half = shared, m
        self.inner, self.outer = storage[: f + 1], storage[f : f + 1 + h]
        self.a = self.outer[1:]
        self.growth, self.stretched = storage[f + 1 + h :].split([m, m])
        self.change = shared.shared_buffer(0, h, n)
        self.both = shared.shared_buffer(1, 2 * m, n)
        self.out = shared.buffer("out", shared.dimension, n)
        self.back = shared.buffer("back", shared.dimension, n)

    def fill(self, z: Tensor) -> Tensor:
        self.inner[:-1].copy_(z[self.shared.fixed])
        self.inner[-1].fill_(1)
        torch.mm(self.shared.inner, self.inner, out=self.a).tanh_()
        torch.mm(self.shared.outer, self.outer, out=self.both)
        torch.exp(self.both[: self.half], out=self.growth)
        torch.mul(self.growth, z[self.shared.moved], out=self.stretched)
        x = self.out.copy_(z)
        x[self.shared.moved].copy_(self.stretched).add_(self.both[self.half :])
        return x

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        inner, outer = direction
        fixed, moved = self.shared.fixed, self.shared.moved
        ds = torch.mm(inner, self.inner, out=self.change)
        if dz is not None:
            ds.addmm_(self.shared.W, dz[fixed])
        both = torch.mm(outer, self.outer, out=self.both)
        both.addmm_(self.shared.V, damp_(ds, self.a))
        dx = self.out.zero_() if dz is None else self.out.copy_(dz)
        dx[moved].mul_(self.growth).addcmul_(self.stretched, both[: self.half])
        dx[moved].add_(both[self.half :])
        return dx

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        fixed, moved = self.shared.fixed, self.shared.moved
        torch.mul(u[moved], self.stretched, out=self.both[: self.half])
        self.both[self.half :].copy_(u[moved])
        sum_over_samples(self.both, self.outer, grads[1])
        g = damp_(torch.mm(self.shared.V.T, self.both, out=self.change), self.a)
        sum_over_samples(g, self.inner, grads[0])
        if not inputs:
            return None
        back = self.back.copy_(u)
        back[moved].mul_(self.growth)
        back[fixed].addmm_(self.shared.W.T, g)
        return back

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        fixed, moved = self.shared.fixed, self.shared.moved
        growth, stretched = (samples_first(x)[:, None] for x in (self.growth, self.stretched))
        inner, outer = samples_first(self.inner), samples_first(self.outer)
        e = directions[:, :, moved]
        both = torch.cat([e * stretched, e], 2)
        hidden = (both @ self.shared.V) * (1 - outer[:, None, 1:].square())
        back = directions.clone()
        back[:, :, moved] *= growth
        back[:, :, fixed] += hidden @ self.shared.W
        acting = zip((hidden, both), (inner, outer), self.shared.places, strict=True)
        return [ParameterLayer(*each) for each in acting], back
