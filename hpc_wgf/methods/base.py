"""What the time loop asks of a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..integrators import Controller
from ..parallel import Communicator
from .sampling import Evaluation


@dataclass(frozen=True)
class State:
    """Everything from which a run goes on, bit for bit.

    `step`: accepted steps so far; it numbers the sample streams. `step_size`: the proposal for
    the next step. `last_error`: the controller's memory. `memory`: what the solves before left to
    those that follow; None at the start and at every stored time, where a run may be resumed.
    """

    time: float
    theta: Tensor
    step: int
    step_size: float
    last_error: float = 1.0
    memory: Any = None


@dataclass(frozen=True)
class Velocity:
    """η = θ' at a state, on the samples of the step that begins there, with its diagnostics.

    `energy_rate`: −ηᵀĜη, dF/dt along the flow. `projection_error`: δ = E|Jη + f|².
    `force_square`: E|f|². `products`: with Ĝ. `residual`: true ‖b − (Ĝ + εI)η‖/‖b‖.
    `nonlinearity`: (E|T_{θ+hη} − T_θ − hJη|² / E|hJη|²)^½, h the way to the first stage of the
    proposed step. `shift`: ε/‖Ĝ‖. `memory`: for the solves that follow. `context`: what the method
    needs to step on from here.
    """

    eta: Tensor
    energy_rate: float
    projection_error: float
    force_square: float
    products: int
    residual: float
    converged: bool
    context: Any
    nonlinearity: float = 0.0
    shift: float = 0.0
    memory: Any = None


@dataclass(frozen=True)
class StepResult:
    """θ after a step, the norm of its error estimate (None without one), and what the solves of
    its stages after the first took; `unconverged` of them ended above the tolerance. `memory`: for
    the state that the step reaches."""

    theta: Tensor
    error: float | None
    products: int
    solves: int
    unconverged: int
    worst_residual: float
    memory: Any = None


@dataclass(frozen=True)
class Measurement:
    """A state seen by samples that the run was not fitted to: one fixed evaluation sample.

    `x`, `log_density`: this rank's images and log ρ. `energy`: F. `projection_error`: δ there.
    `folded`: samples, of all ranks, where det ∇T ≤ 0; their log ρ is not-a-number. Only an energy
    that does not depend on the density gets that far. `work`: E[f·Jη] of the parts of the energy
    that know positions alone.
    """

    x: Tensor
    log_density: Tensor
    energy: float
    projection_error: float
    folded: int
    work: float


class StepFailed(Exception):
    """A stage left the set where the map is a diffeomorphism, or met a value that is not
    finite; the same on all ranks. The message names the ranks."""


class Method(Protocol):
    """Advances θ; the samples are frozen within a step and fresh in the next.

    `velocity`, `step` and `measure` raise `StepFailed` where the step is to be shortened.
    """

    communicator: Communicator
    evaluation: Evaluation

    def start(self) -> State:
        """The state at the start time."""
        ...

    def controller(self) -> Controller:
        """Judge of the steps."""
        ...

    def velocity(self, state: State) -> Velocity:
        """θ' at the state, on the samples of its step."""
        ...

    def step(self, state: State, velocity: Velocity, step_size: float) -> StepResult:
        """θ after one step of the given size, from the velocity at the state."""
        ...

    def state_dict(self, state: State) -> dict[str, np.ndarray]:
        """The state's memory as arrays on the host."""
        ...

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The memory of a state that `state_dict` took apart, the same bits; collective."""
        ...

    def measure(self, state: State, velocity: Velocity) -> Measurement:
        """The state on the evaluation sample."""
        ...

    def measured_rate(self, state: State, velocity: Velocity, seen: Measurement) -> float:
        """d/dt of the energy that `measure` has seen, along the flow θ' = η, exactly."""
        ...
