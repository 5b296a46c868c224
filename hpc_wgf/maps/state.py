"""The map of a flow at one time: frozen stages, and the active map on top of them.

    T = S_θ ∘ S_k ∘ … ∘ S_1

A single smooth map cannot carry every flow for long. It may be frozen at a stored time; a new map,
the identity at first, then goes on in the space of its images. Samples carried through the frozen
stages with density and score are to the active map what samples of the start density were before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cloud import Cloud
from .base import PushForward, Transported


@dataclass(frozen=True)
class Stage:
    """A map that is frozen: S_k with its parameters inside."""

    map: PushForward
    """On the device and in the precision of the run; nothing changes its parameters any more."""

    @classmethod
    def freeze(cls, map: PushForward, theta: Tensor) -> Stage:
        """A copy of `map` at θ, (p,)."""
        return cls(copy.deepcopy(map).at(theta).requires_grad_(False))


@dataclass(frozen=True)
class MapState:
    """Frozen stages S_1 … S_k, in the order in which they act, and the active map at θ."""

    stages: tuple[Stage, ...]
    map: PushForward
    """The active map; whatever parameters it has at the moment, those of this state are `theta`."""
    theta: Tensor
    """Parameters of the active map, (p,); p may differ from stage to stage."""

    def moved(self, theta: Tensor) -> MapState:
        """The same with other parameters, (p,), of the active map."""
        return replace(self, theta=theta)

    def active(self) -> PushForward:
        """The active map with θ put into it."""
        return self.map.at(self.theta)

    def stacked(self, map: PushForward) -> MapState:
        """The present map frozen, with `map` at its own parameters on top of it."""
        stages = (*self.stages, Stage.freeze(self.map, self.theta))
        return MapState(stages, map, map.get_theta())

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        """T(z), (n, d) → (n, d)."""
        for stage in self.stages:
            z = stage.map(z)
        x: Tensor = self.active()(z)
        return x

    def carry(self, start: Cloud) -> Cloud:
        """Samples of the start density carried through all of T, with density and score."""
        (cloud,) = carry(self.stages, [start])
        image = self.active().transport(cloud.x, cloud.score)
        return _carried(cloud, image)


@torch.no_grad()
def carry(stages: Sequence[Stage], clouds: Sequence[Cloud], *, score: bool = True) -> list[Cloud]:
    """The images of `clouds` under frozen stages: x = S_k(… S_1(z)), with

        log ρ(x) = log λ(z) − Σ_j log|det ∇S_j|

    and, with `score`, ∇ log ρ(x) by the recursion of `PushForward.transport`."""
    result = list(clouds)
    for stage in stages:
        scores = [cloud.score for cloud in result] if score else None
        images = stage.map.transport_chunks([cloud.x for cloud in result], scores)
        result = [_carried(cloud, image) for cloud, image in zip(result, images, strict=True)]
    return result


def _carried(cloud: Cloud, image: Transported) -> Cloud:
    positive = image.positive
    return Cloud(
        x=image.x,
        log_density=cloud.log_density - image.log_det,
        score=torch.full_like(image.x, torch.nan) if image.score is None else image.score,
        positive=positive if cloud.positive is None else cloud.positive & positive,
        log_weight=cloud.log_weight,
    )
