"""The map of a flow at one time: frozen stages, and the active map on top of them.

    T = S_θ ∘ S_k ∘ … ∘ S_1

A single smooth map cannot carry every flow for long. It may be frozen at a stored time; a new map,
the identity at first, then acts on its images. The active map needs samples with their density and
score: those of the start density for the first map, and afterwards the same samples carried
through the frozen stages.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cloud import Cloud
from .base import PushForward, Transported
from .composition import Composition


@dataclass(frozen=True)
class Stage:
    """A frozen map S_k with its parameters."""

    map: PushForward
    """S_k, on the device and in the precision of the run; its parameters never change."""

    @classmethod
    def freeze(cls, map: PushForward, theta: Tensor) -> Stage:
        """The stage of a copy of `map` at θ, (p,)."""
        return cls(copy.deepcopy(map).at(theta).requires_grad_(False))


@dataclass(frozen=True)
class MapState:
    """T = S_θ ∘ S_k ∘ … ∘ S_1: frozen stages, and the active map S_θ at its parameters θ."""

    stages: tuple[Stage, ...]
    """S_1, …, S_k, in the order in which they act."""
    map: PushForward
    """The active map. Its own parameters may be any at the moment; those meant are `theta`."""
    theta: Tensor
    """θ, (p,); p may differ from stage to stage."""

    def moved(self, theta: Tensor) -> MapState:
        """This state with other parameters, (p,), of the active map."""
        return replace(self, theta=theta)

    def active(self) -> PushForward:
        """The active map, after its parameters have been set to θ."""
        return self.map.at(self.theta)

    def whole(self) -> PushForward:
        """T as one map: the active one where there are no stages, else the composition of copies of
        all of them."""
        if not self.stages:
            return self.active()
        maps = (*(stage.map for stage in self.stages), self.active())
        return Composition(*(copy.deepcopy(map) for map in maps))

    def on(self, device: torch.device) -> MapState:
        """A copy of this state on a device."""
        stages = tuple(Stage(copy.deepcopy(stage.map).to(device)) for stage in self.stages)
        return MapState(stages, copy.deepcopy(self.map).to(device), self.theta.to(device))

    def stacked(self, map: PushForward) -> MapState:
        """The state in which the active map has become the last stage, and `map`, at its own
        parameters, the active one."""
        stages = (*self.stages, Stage.freeze(self.map, self.theta))
        return MapState(stages, map, map.get_theta())

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        """T(z), (n, d) → (n, d), in the precision and on the device of the map."""
        x: Tensor = self.active()(behind_stages(self.stages, z, like=self.theta))
        return x

    def carry(self, start: Cloud) -> Cloud:
        """The images T(z) of samples of the start density, with their density and score."""
        (cloud,) = carried_by(self.active(), carry(self.stages, [start]), score=True)
        return cloud


@torch.no_grad()
def behind_stages(stages: Sequence[Stage], z: Tensor, *, like: Tensor) -> Tensor:
    """The images S_k(… S_1(z)) under frozen stages, (n, d) → (n, d), in the precision and on the
    device of `like`."""
    z = z.to(like)
    for stage in stages:
        z = stage.map(z)
    return z


@torch.no_grad()
def carry(stages: Sequence[Stage], clouds: Sequence[Cloud], *, score: bool = True) -> list[Cloud]:
    """The images x = S_k(… S_1(z)) of samples under frozen stages, with

        log ρ(x) = log λ(z) − Σ_j log|det ∇S_j|

    and, with `score`, ∇ log ρ(x) by `PushForward.transport`; without it the score is not a number,
    unless there are no stages. `clouds`: chunks of samples z with their density and score."""
    result = list(clouds)
    for stage in stages:
        result = carried_by(stage.map, result, score=score)
    return result


def carried_by(map: PushForward, clouds: Sequence[Cloud], *, score: bool) -> list[Cloud]:
    """The images of samples under one map at its present parameters: log ρ and, with `score`,
    ∇ log ρ by `PushForward.transport`; without it the score is not a number."""
    scores = [cloud.score for cloud in clouds] if score else None
    images = map.transport_chunks([cloud.x for cloud in clouds], scores)
    return [_carried(cloud, image) for cloud, image in zip(clouds, images, strict=True)]


def _carried(cloud: Cloud, image: Transported) -> Cloud:
    positive = image.positive
    return Cloud(
        x=image.x,
        # In the memory of the images, which are ours: small tensors, made chunk by chunk, would
        # lie between large ones and keep what is free from being used again.
        log_density=torch.sub(cloud.log_density, image.log_det, out=image.log_det),
        score=torch.full_like(image.x, torch.nan) if image.score is None else image.score,
        positive=positive if cloud.positive is None else cloud.positive & positive,
        log_weight=cloud.log_weight,
    )
