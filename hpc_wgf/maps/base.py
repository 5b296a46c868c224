"""What every push-forward map gives.

With x = T_θ(z) and λ the density of z, the density of x and its score are
    log ρ(x) = log λ(z) − log|det ∇T(z)|,   s(x) = ∇T(z)^{-T} [∇ log λ(z) − ∇_z log|det ∇T(z)|]
[PWGF §3]. A map only states its own part of the recursion; compositions chain the parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..errors import InputError
from .linearization import Linearization, Linearizer, Workspace

_CACHED = 1 << 16  # activations of one layer, half a MiB in float64


class Transported(NamedTuple):
    """Samples carried by a map: images, volumes and, when asked for, scores.

    x: (n, d). log_det: (n,), log|det ∇T|. positive: (n,) bool, det ∇T > 0 in every layer
    (the map has not folded). score: (n, d), ∇T^{-T}(s − ∇ log|det ∇T|), or None.
    """

    x: Tensor
    log_det: Tensor
    positive: Tensor
    score: Tensor | None


class PushForward(nn.Module, ABC):
    """A map T_θ: ℝᵈ → ℝᵈ that is the identity, exactly, at its initial parameters.

    (A user's own module may not be; `solve` refuses it then.)
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        if dimension < 1:
            raise InputError(f"a map needs a dimension of at least 1, got {dimension}")
        self.dimension = dimension

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """T(z): (n, d) → (n, d)."""

    @abstractmethod
    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        """Images and volumes of z, and the score carried along where one is given, (n, d).

        Without a score, differentiable in θ and z.
        """

    @torch.no_grad()
    def transport_chunks(
        self, chunks: Sequence[Tensor], scores: Sequence[Tensor] | None = None
    ) -> list[Transported]:
        """`transport` of several groups of samples, (n_chunk, d), with their scores where given.

        The results are parts of tensors of all groups, made beforehand: kept one by one they would
        come to lie where large temporary tensors have been, and the process grow severalfold.
        """
        total = sum(map(len, chunks))
        x, carried = (chunks[0].new_empty(total, self.dimension) for _ in range(2))
        log_det, positive = x.new_empty(total), x.new_empty(total, dtype=torch.bool)
        images: list[Transported] = []
        end = 0
        for k, z in enumerate(chunks):
            span = slice(end, end := end + len(z))
            image = self.transport(z, None if scores is None else scores[k])
            score = None if image.score is None else carried[span].copy_(image.score)
            images.append(
                Transported(
                    x[span].copy_(image.x),
                    log_det[span].copy_(image.log_det),
                    positive[span].copy_(image.positive),
                    score,
                )
            )
        return images

    @abstractmethod
    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        """What linearisations at the present parameters, of several groups of samples, share."""

    def linearize(self, z: Tensor) -> Linearization:
        """The linearisation in θ (and z) at the present parameters, z: (n, d)."""
        return self.linearizer().linearize(z)

    def chunk_size(self) -> int:
        """The least number of samples that are linearised together, on a CPU: enough that calls
        cost little, few enough that the widest layer's activations stay in a core's cache."""
        widest = max(max(parameter.shape, default=1) for parameter in self.parameters())
        return max(512, _CACHED // widest)

    def forward_and_logdet(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T(z), (n, d), and log|det ∇T(z)|, (n,)."""
        image = self.transport(z)
        return image.x, image.log_det

    def parameter_count(self) -> int:
        """p, the length of θ."""
        return sum(parameter.numel() for parameter in self.parameters())

    def get_theta(self) -> Tensor:
        """A copy of θ, (p,)."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters()])

    def set_theta(self, theta: Tensor) -> None:
        """Put θ, (p,), into the parameters."""
        for parameter, part in zip(self.parameters(), self.split(theta), strict=True):
            parameter.data.copy_(part)

    def at(self, theta: Tensor) -> Self:
        """This map with θ, (p,), put into its parameters."""
        self.set_theta(theta)
        return self

    def architecture(self) -> dict[str, Any]:
        """Plain data from which `maps.rebuilt` makes the same map, but for its parameters.

        Errors: `InputError` for a map that plain data cannot describe.
        """
        raise InputError(
            f"a {type(self).__name__} cannot be described in a store: only the built-in maps can "
            "be frozen as stages of a run"
        )

    def split(self, v: Tensor) -> Iterator[Tensor]:
        """The parts of a θ-vector, (p,), as views in the parameters' shapes and order."""
        if v.numel() != self.parameter_count():
            raise InputError(
                f"a parameter vector of length {v.numel()} for a map with "
                f"{self.parameter_count()} parameters"
            )
        parameters = list(self.parameters())
        parts = v.split([parameter.numel() for parameter in parameters])
        return (part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True))


def flatten(*parts: Tensor) -> Tensor:
    """The θ-vector whose `split` gives back `parts`."""
    return torch.cat([part.reshape(-1) for part in parts])


def identity_like(z: Tensor) -> Tensor:
    """I, (d, d), of the dtype and on the device of samples z, (n, d)."""
    return torch.eye(z.shape[1], dtype=z.dtype, device=z.device)


def signed_volume(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """log|det| and det > 0 of (…, k, k) matrices. Not-a-number counts as not positive."""
    sign, log_abs = torch.linalg.slogdet(matrix)
    return log_abs, sign > 0
