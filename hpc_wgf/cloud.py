"""Samples of a density, with its logarithm and its score at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cloud:
    """Samples of a density ρ on ℝᵈ with log ρ and ∇ log ρ at them: one of the chunks of a rank.

    Quantities that the energy does not need may be left uncomputed; they are then NaN.
    """

    x: Tensor
    """Positions of the n samples, (n, d)."""
    log_density: Tensor
    """log ρ(x), (n,)."""
    score: Tensor
    """∇ log ρ(x), (n, d)."""
    positive: Tensor | None = None
    """Whether det ∇T > 0 at the sample for every map T that has carried it, (n,) bool. None where
    no map has."""
    log_weight: Tensor | None = None
    """log(ρ/q), the logarithm of the importance weight of samples drawn from a density q, (n,).
    None for samples of ρ itself, whose weights are 1."""

    def at(self, chosen: Tensor | slice) -> Cloud:
        """Some of the samples, by their numbers, or (n,) bool."""
        return Cloud(
            x=self.x[chosen],
            log_density=self.log_density[chosen],
            score=self.score[chosen],
            positive=None if self.positive is None else self.positive[chosen],
            log_weight=None if self.log_weight is None else self.log_weight[chosen],
        )

    @property
    def weight(self) -> Tensor | None:
        """ρ/q, the importance weight, (n,); None where all are 1."""
        return None if self.log_weight is None else self.log_weight.exp()

    @property
    def unfolded(self) -> Tensor:
        """`positive` as a tensor, (n,) bool: all true where no map has carried the samples."""
        if self.positive is None:
            return torch.ones_like(self.x[:, 0], dtype=torch.bool)
        return self.positive


def joined(clouds: Sequence[Cloud]) -> Cloud:
    """All samples of several clouds, of which the same is known, in one."""
    return Cloud(
        x=torch.cat([cloud.x for cloud in clouds]),
        log_density=torch.cat([cloud.log_density for cloud in clouds]),
        score=torch.cat([cloud.score for cloud in clouds]),
        positive=_joined([cloud.positive for cloud in clouds]),
        log_weight=_joined([cloud.log_weight for cloud in clouds]),
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None
