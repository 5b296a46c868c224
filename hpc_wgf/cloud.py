"""Samples of a density with all that is known of the density there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cloud:
    """n samples of a density ρ on ℝᵈ, a chunk of those of one rank.

    What an energy does not need may be not-a-number.
    """

    x: Tensor
    """Positions, (n, d)."""
    log_density: Tensor
    """log ρ(x), (n,)."""
    score: Tensor
    """∇ log ρ(x), (n, d)."""
    positive: Tensor | None = None
    """Whether no map that carried the sample has folded there, (n,) bool; None: none was tried."""
    log_weight: Tensor | None = None
    """log of the importance weight ρ/q of samples drawn from a density q, (n,); None: q = ρ."""

    @property
    def unfolded(self) -> Tensor:
        """`positive`, with all true where none was tried."""
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
