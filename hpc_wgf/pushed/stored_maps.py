"""The maps of a stored run: frozen stages and the active map at any of its rows."""

from __future__ import annotations

import torch
from torch import Tensor

from ..maps import MapState, PushForward, Stage, rebuilt
from ..store import StoredRun


def map_of_row(stored: StoredRun, first: PushForward, row: int) -> MapState:
    """T at a stored row. `first`: a map like the one with which the run began, on the device and
    in the precision in which the maps are wanted.

    Errors: `InputError` where a stage is missing, or its map cannot be made again."""
    return map_state(stored, first, stored.stage_of(row), torch.from_numpy(stored.theta(row)))


def map_state(stored: StoredRun, first: PushForward, stage: int, theta: Tensor) -> MapState:
    """T in a stage, at parameters θ, (p,), of its map."""
    frozen = [
        Stage.freeze(_map(stored, first, k), _like(first, _last_theta(stored, k)))
        for k in range(stage)
    ]
    return MapState(tuple(frozen), _map(stored, first, stage), _like(first, theta))


def _map(stored: StoredRun, first: PushForward, stage: int) -> PushForward:
    if stage == 0:
        return first
    return rebuilt(stored.stages[stage].map).to(next(first.parameters()))


def _like(first: PushForward, theta: Tensor) -> Tensor:
    return theta.to(next(first.parameters()))


def _last_theta(stored: StoredRun, stage: int) -> Tensor:
    """Parameters at which the map of a stage was frozen: those of the row where the next one
    began."""
    if stage + 1 >= len(stored.stages):
        raise stored.damaged(f"it has {len(stored.stages)} stages, but rows of a later one")
    return torch.from_numpy(stored.theta(stored.stages[stage + 1].row))
