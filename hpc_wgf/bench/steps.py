"""Consecutive steps of PWGF, timed one by one."""

from __future__ import annotations

import time
from dataclasses import replace

from ..methods.pwgf import PWGF
from ..profiling.timing import Times, seconds_of


class Steps:
    """A run without rows, observers and step control: steps of the fixed size of the options.

    `products`, `solves`: products with Ĝ, and linear solves, in each of the steps that have been
    timed.
    """

    def __init__(self, runner: PWGF) -> None:
        self.runner, self._state = runner, runner.start()
        self._seconds: list[float] = []
        self._cpu_seconds: list[float] = []
        self.products: list[int] = []
        self.solves: list[int] = []

    @property
    def number(self) -> int:
        """How many such steps lead from the start time of the problem to its end."""
        problem = self.runner.problem
        return round((problem.until - problem.start_time) / self.runner.options.step_size)

    @property
    def times(self) -> Times:
        """Seconds of the steps that have been timed, one by one."""
        return Times(tuple(self._seconds))

    @property
    def cpu_times(self) -> Times:
        """The same in seconds of this process on its cores, which other work hardly changes."""
        return Times(tuple(self._cpu_seconds))

    def warm_up(self) -> None:
        """Take a step that is not counted.

        The first step is unlike the others: at the identity only the last layer of a map moves, and
        a preconditioner is made that serves many steps.
        """
        self._step()
        self.products.clear()
        self.solves.clear()

    def measure(self, steps: int = 1) -> None:
        """Take and time so many further steps."""
        for _ in range(steps):
            begun = time.process_time()
            self._seconds.append(seconds_of(self._step, self.runner.communicator.device))
            self._cpu_seconds.append(time.process_time() - begun)

    def _step(self) -> None:
        state, size = self.runner.enter(self._state), self.runner.options.step_size
        trial = self.runner.advance(state, size)
        self.products.append(int(trial.figures["products"]))
        self.solves.append(int(trial.figures["solves"]))
        self._state = replace(
            state, time=state.time + size, map=trial.map, step=state.step + 1, memory=trial.memory,
        )  # fmt: skip
