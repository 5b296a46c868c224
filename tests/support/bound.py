"""Methods bound to a problem and one process, and ensembles of given points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from hpc_wgf.cloud import Cloud
from hpc_wgf.diagnostics import Judge, Look
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.methods.base import State
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.velocity import Velocity
from hpc_wgf.parallel import Communicator, LocalCommunicator


def ensemble_of(
    chunks: Sequence[torch.Tensor],
    *,
    total: int | None = None,
    communicator: Communicator | None = None,
) -> Ensemble:
    """Points in chunks, of which nothing else is known; `total`: n, where other ranks have more."""
    clouds = [Cloud(x, torch.full_like(x[:, 0], torch.nan), torch.zeros_like(x)) for x in chunks]
    sizes = [[len(x) for x in chunks]]
    if total is not None:
        sizes.append([total - sum(sizes[0])])
    return Ensemble(clouds, sizes, communicator or LocalCommunicator())


def state_at(method: PWGF, theta: torch.Tensor, **changes: object) -> State:
    """The start state with other parameters."""
    state = method.start()
    return replace(state, map=state.map.moved(theta), **changes)


def judge_of(method: PWGF) -> Judge:
    return Judge(method.problem, method.setting.evaluation)


def look(method: PWGF, state: State, velocity: Velocity) -> Look:
    """The evaluation sample at a state."""
    return judge_of(method).look(state.map, velocity.eta)


def rate(method: PWGF, state: State, velocity: Velocity) -> float:
    """dF/dt of the evaluation sample's energy along η."""
    return judge_of(method).rate(state.map, velocity.eta, look(method, state, velocity))
