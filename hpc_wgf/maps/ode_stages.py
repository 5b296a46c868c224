"""The stages of the classical Runge–Kutta method, and where weights of a velocity stand in θ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .layer import weight_index
from .velocity_networks import BlockVelocity

_NODES = (0.0, 0.5, 0.5, 1.0)
_WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
MOST_ROWS = 2048
"""Parameters, with which preconditioners are made of rows of J."""


class Stage(NamedTuple):
    """A stage of a step of size h."""

    number: int
    """Of all stages."""
    time: float
    """τ_i."""
    node: float
    """c_i h."""
    weight: float
    """b_i h."""


def stages_of(steps: int) -> list[list[Stage]]:
    """The stages of every one of K equal steps on [0, 1]."""
    h, pairs = 1 / steps, list(enumerate(zip(_NODES, _WEIGHTS, strict=True)))
    return [
        [Stage(4 * k + i, (k + node) * h, node * h, weight * h) for i, (node, weight) in pairs]
        for k in range(steps)
    ]


def beside(*parts: Tensor) -> Tensor:
    """One matrix of matrices (h, k) and vectors (h,) side by side, which are their columns."""
    return torch.cat([part.detach().view(len(part), -1) for part in parts], 1)


def places_of(velocity: BlockVelocity) -> list[Tensor]:
    """The places in θ of the matrices (w, W, c) and (A, b, U), or (b, U) without A."""
    places, end = {}, 0
    for name, value in velocity.named_parameters():
        rows = len(value)
        places[name] = weight_index(rows, value.numel() // rows, end, None, value.device)
        end += value.numel()
    outer = [places[name] for name in ("A", "b", "U") if name in places]
    return [beside(places["w"], places["W"], places["c"]), beside(*outer)]
