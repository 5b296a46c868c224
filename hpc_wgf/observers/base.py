"""What the time loop shows to observers. They never write to the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..methods.base import State

Memory = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class NewStage:
    """A stage that begins at a stored time: the map of the row is frozen, another goes on."""

    map: str
    """What `maps.rebuilt` makes the new map from."""

    theta: Tensor
    """(p,), its initial parameters."""


@dataclass(frozen=True)
class Snapshot:
    """A stored time, as every rank sees it."""

    state: State[Any]
    """Time, parameters and all else from which the run goes on; the same on every rank."""

    particles: Tensor
    """(n_local, d), this rank's images T(z) of the evaluation sample, in the unit of x."""

    log_density: Tensor
    """(n_local,), log ρ at the particles; not-a-number where the map has folded."""

    velocity: Tensor | None
    """(p,), η = θ' at the stored time; None where the method has none."""

    figures: Mapping[str, float]
    """The figures of the time by the names of their columns, the same on every rank; not-a-number
    where there is nothing to compare with."""

    log_weight: Tensor | None = None
    """(n_local,), the logarithms of the particles' importance weights w, with which E[a] is the
    mean of w a; None where all are 1."""

    error_state: np.ndarray | None = None
    """What the monitor of the error goes on with; None where there is none."""

    last: bool = False
    """Whether the run ends with this row."""

    new_stage: NewStage | None = None
    """The stage that begins here, from which the run goes on; None where none does."""


@dataclass(frozen=True)
class StepRecord:
    """An accepted step: what its velocity said where it begins, and what it took."""

    figures: Mapping[str, float]
    """By the names of their columns (`hpc_wgf.columns`), the same on every rank."""

    @property
    def time(self) -> float:
        """Where the step begins."""
        return self.figures["time"]

    @property
    def end(self) -> float:
        """Where the step ends, up to rounding."""
        return self.figures["time"] + self.figures["size"]

    @property
    def products_per_solve(self) -> float:
        """Products with the metric in each linear solve; not-a-number where a method has none."""
        solves = self.figures.get("solves", 0)
        return self.figures["products"] / solves if solves else float("nan")


class Observer(Protocol):
    """Hooks of one run, called on every rank in the same order."""

    def on_row(self, row: Snapshot) -> None:
        """A stored time has been reached."""
        ...

    def on_step(self, step: StepRecord) -> None:
        """A step has been accepted."""
        ...

    def on_stop(self, state: State[Any], memory: Memory, seconds: float) -> None:
        """The run stops at `state` on request, after so many `seconds`, to be resumed there.
        `memory`: of the state, in arrays; see `Method.state_dict`."""
        ...

    def on_end(self) -> None:
        """The loop is left, in whichever way."""
        ...
