"""What the time loop shows to observers. They never write to the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ..methods import State

Memory = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """A stored time. Per rank: `particles` (n_local, d) and `log_density` (n_local,) of the
    evaluation sample; all else is the same on every rank. Not-a-number where there is nothing
    to compare with. Units: x for lengths, F for energies, F per t for rates.

    `energy_rate`: −ηᵀĜη on the step's samples; `energy_rate_measured`: dF/dt of `energy` along the
    flow. They agree up to sampling. `folded`: evaluation samples where det ∇T ≤ 0."""

    state: State
    particles: Tensor
    log_density: Tensor
    energy: float
    energy_rate: float
    energy_rate_measured: float
    kl_divergence: float
    projection_error: float
    projection_error_fresh: float
    force_square: float
    map_error: float
    map_displacement: float
    symmetric_kl: float
    folded: int
    wall_seconds: float


@dataclass(frozen=True)
class StepRecord:
    """An accepted step: what its velocity said at `time`, where it begins, and what it took.

    `unconverged`: solves that ended above the tolerance. `residual`: the largest true ‖r‖/‖b‖.
    `products` and `solves` are those of the accepted attempt. Of the velocity at `time`:
    `eta_norm`, |η|; `nonlinearity`, see `methods.Velocity`; `shift`, ε/‖Ĝ‖."""

    time: float
    step_size: float
    energy: float
    energy_rate: float
    projection_error: float
    projection_error_fresh: float
    products: int
    solves: int
    unconverged: int
    residual: float
    rejected: int
    eta_norm: float
    nonlinearity: float
    shift: float
    seconds: float


class Observer(Protocol):
    """Hooks of one run, called on every rank in the same order."""

    def on_row(self, row: Snapshot) -> None:
        """A stored time has been reached."""
        ...

    def on_step(self, step: StepRecord) -> None:
        """A step has been accepted."""
        ...

    def on_stop(self, state: State, memory: Memory, seconds: float) -> None:
        """The run stops at `state` on request, after so many `seconds`, to be resumed there.
        `memory`: of the state, in arrays; see `Method.state_dict`."""
        ...

    def on_end(self) -> None:
        """The loop is left, in whichever way."""
        ...
