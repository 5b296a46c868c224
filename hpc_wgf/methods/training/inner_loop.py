"""The iterations within a step, which a stop request may break off and a resumed run goes on
with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...accounts import Part, counted
from ...errors import StepUnfinished
from ...parallel import any_rank
from ..base import Setting
from .engine import Engine

_PREFIX = "inner/"
_ITERATION, _SIZE = "iteration", "step_size"

Unfinished = Mapping[str, np.ndarray]
"""What an inner loop goes on with, by names that begin alike."""


def unfinished_of(arrays: Mapping[str, np.ndarray]) -> Unfinished | None:
    """Of a checkpoint's memory, what an inner loop left; None where none was broken off. What
    methods return from `load_state_dict`."""
    return {name: each for name, each in arrays.items() if name.startswith(_PREFIX)} or None


@dataclass(frozen=True)
class InnerLoop:
    """Iterations on networks, each with an engine.

    All else that an iteration works on must be a function of its number, of the state at which the
    step begins and of its size: samples are drawn anew by their numbers."""

    setting: Setting
    """The ranks, and who asks for a stop."""
    engines: Mapping[str, Engine]
    """Those whose state is kept, by names of one's own."""
    step_size: float
    """Of the step."""

    @counted(Part.TRAINING)
    def run(
        self, iterate: Callable[[int], None], iterations: int, unfinished: Unfinished | None = None
    ) -> None:
        """`iterate(k)` for k = 0, …, `iterations` − 1, or from where `unfinished`, of a step of
        the same size, was broken off. Collective.

        Errors: `StepUnfinished` after an iteration, but the last, at which one rank is asked to
        stop; those of `iterate`."""
        for k in range(self._resumed(unfinished), iterations):
            iterate(k)
            if k + 1 < iterations and self._stopped():
                raise StepUnfinished(self._state(k + 1))

    def _resumed(self, unfinished: Unfinished | None) -> int:
        """The iteration to go on with. Of a step that has another size now, as where a run goes on
        to a later end, nothing is used."""
        if unfinished is None or float(unfinished[_PREFIX + _SIZE]) != self.step_size:
            return 0
        for name, engine in self.engines.items():
            prefix = f"{_PREFIX}{name}/"
            engine.load_state_dict(
                {key.removeprefix(prefix): each for key, each in unfinished.items()
                 if key.startswith(prefix)}
            )  # fmt: skip
        return int(unfinished[_PREFIX + _ITERATION])

    def _state(self, iteration: int) -> dict[str, np.ndarray]:
        kept = {
            f"{_PREFIX}{name}/{key}": each
            for name, engine in self.engines.items()
            for key, each in engine.state_dict().items()
        }
        kept[_PREFIX + _ITERATION] = np.asarray(iteration)
        kept[_PREFIX + _SIZE] = np.asarray(self.step_size)
        return kept

    def _stopped(self) -> bool:
        stop = self.setting.stop
        return stop is not None and any_rank(self.setting.communicator, stop())
