"""Who decides when a map is frozen, and which map goes on."""

from __future__ import annotations

from typing import Any, Protocol

from ..diagnostics import Look
from ..maps import PushForward
from ..methods.base import State


class Staging(Protocol):
    """Asked at every stored time, on every rank.

    What it decides must be a function of numbers that are the same on all ranks. The answer is
    stored with the row: a run resumed there does not ask again."""

    def next_map(self, state: State[Any], look: Look) -> PushForward | None:
        """The map, the identity at its parameters, that goes on from `state` while the present one
        is frozen; None where the present one goes on itself."""
        ...
