"""Composition: T = T_L ∘ … ∘ T_1, by the chain rule of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..gpu import LinearizedChain
from ..kinds import check_kind, shown
from .base import PushForward, Transport, Transported
from .chunk import Chunk, Matrices, Workspace, chain_of
from .frame import Frame
from .layer import ParameterLayer
from .linearization import Linearizer


class Composition(PushForward):
    """T = T_L ∘ … ∘ T_1 of the parts T_1, …, T_L; θ consists of theirs in the same order.

    Errors: `InputError` for no part, a part that stands twice, or parts of different dimensions.
    """

    def __init__(self, *parts: PushForward) -> None:
        if not parts:
            raise InputError("a composition needs at least one map")
        for part in parts:
            if not isinstance(part, PushForward):
                check_kind(part, "push-forward map", (), "")
                raise InputError(
                    f"{shown(part)} is no push-forward map: give maps one by one, as "
                    "Composition(Affine(2), BlockFlow(2, 64)); wrap a torch module as "
                    "ModuleMap(d, module)"
                )
        if len({id(part) for part in parts}) < len(parts):
            raise InputError("a map stands twice in a composition: make a second one, or a copy")
        dimensions = {part.dimension for part in parts}
        if len(dimensions) > 1:
            raise InputError(f"the parts of a composition differ in dimension: {dimensions}")
        super().__init__(parts[0].dimension)
        self.parts = nn.ModuleList(parts)
        self.fold_remedy = ", ".join(dict.fromkeys(p.fold_remedy for p in parts if p.fold_remedy))

    def _maps(self) -> Sequence[PushForward]:
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def evaluations(self) -> int:
        return max(part.evaluations for part in self._maps())

    def lay_out(self, frame: Frame) -> None:
        for part in self._maps():  # Each begins as the identity: the samples of all are the same.
            part.lay_out(frame)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "composition", "parts": [part.architecture() for part in self._maps()]}

    def forward(self, z: Tensor) -> Tensor:
        for part in self.parts:
            z = part(z)
        return z

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return self.transporter()(z, score)

    def transporter(self) -> Transport:
        first, *rest = [part.transporter() for part in self._maps()]

        def transport(z: Tensor, score: Tensor | None) -> Transported:
            image = first(z, score)
            for part in rest:
                step = part(image.x, image.score)
                image = Transported(
                    step.x, image.log_det + step.log_det, image.positive & step.positive, step.score
                )
            return image

        return transport

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return _ChainLinearizer(self._maps(), workspace or Workspace())


class _ChainLinearizer(Linearizer):
    """The linearizers of the parts; the largest of their buffers are shared."""

    def __init__(self, maps: Sequence[PushForward], workspace: Workspace) -> None:
        self.parts = [map.linearizer(workspace) for map in maps]
        self.counts = [map.parameter_count() for map in maps]
        self._lengths = [sum(part.sizes) for part in self.parts]
        self.capturable = all(part.capturable for part in self.parts)
        super().__init__(
            maps[0].dimension,
            self.parts[0].like,
            rows=sum(part.rows for part in self.parts),
            shapes=[shape for part in self.parts for shape in part.shapes],
            places=None,
            workspace=workspace,
        )

    @property
    def bytes_per_sample(self) -> int:
        return sum(part.bytes_per_sample for part in self.parts)

    def chunk(self, storage: Tensor) -> Chunk:
        rows = storage.split_with_sizes([part.rows for part in self.parts])
        pairs = zip(self.parts, rows, strict=True)
        return _ChainChunk(self, [part.chunk(own) for part, own in pairs])

    def direction(self, v: Tensor) -> Matrices:
        pairs = zip(self.parts, v.split_with_sizes(self.counts), strict=True)
        return [matrix for part, own in pairs for matrix in part.direction(own)]

    def matrices(self, packed: Tensor) -> Matrices:
        pairs = zip(self.parts, self._pieces(packed), strict=True)
        return [matrix for part, own in pairs for matrix in part.matrices(own)]

    def unpacked(self, packed: Tensor) -> Tensor:
        pairs = zip(self.parts, self._pieces(packed), strict=True)
        return torch.cat([part.unpacked(own) for part, own in pairs])

    def _pieces(self, packed: Tensor) -> Sequence[Tensor]:
        return packed.split_with_sizes(self._lengths)


class _ChainChunk:
    """dx_ℓ = J_ℓ v_ℓ + ∇T_ℓ dx_{ℓ−1} for ℓ = 1 … L, and its transpose from L down to 1."""

    def __init__(self, shared: _ChainLinearizer, parts: list[Chunk]) -> None:
        self.shared, self.parts = shared, parts
        ends = [0, *accumulate(len(part.shapes) for part in shared.parts)]
        self.own = [slice(*edges) for edges in pairwise(ends)]  # each part's matrices

    def fill(self, z: Tensor) -> Tensor:
        for part in self.parts:
            z = part.fill(z)
        return z

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        for part, own in zip(self.parts, self.own, strict=True):
            dz = part.push(direction[own], dz)
        assert dz is not None
        return dz

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        back: Tensor | None = u
        for k in range(len(self.parts) - 1, -1, -1):
            assert back is not None
            back = self.parts[k].pull(back, grads[self.own[k]], inputs=inputs or k > 0)
        return back

    def chain(self) -> LinearizedChain | None:
        """What a fused product needs, of a linear map and a block; None for others."""
        if len(self.parts) != 2:
            return None
        first, last = map(chain_of, self.parts)
        if first is None or last is None or first.block is not None or last.features is not None:
            return None
        return LinearizedChain(first.features, last.block)

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        layers: list[ParameterLayer] = []
        offset, back = sum(self.shared.counts), directions
        for k in range(len(self.parts) - 1, -1, -1):
            offset -= self.shared.counts[k]
            own, further = self.parts[k].layers(back, inputs=inputs or k > 0)
            layers = [layer.moved(offset) for layer in own] + layers
            if further is None:
                return layers, None
            back = further
        return layers, back
