"""A run from start to end with all that it took, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..diagnostics import Judge
from ..errors import RunError
from ..maps import PushForward
from ..methods.pwgf import PWGF, PWGFOptions
from ..observers import MemoryRecorder
from ..parallel import Communicator
from ..problems import Problem
from ..profiling.timing import seconds_of
from ..run.loop import Loop
from ..run.schedule import Schedule


@dataclass(frozen=True)
class WholeRun:
    """`error`: (E|T − T_exact|²)^½ over the displacement, the largest over the stored times; not
    a number without an exact map. `seconds`: from the making of the method to the last row."""

    seconds: float
    error: float
    steps: int
    solves: int
    products: int


@dataclass(frozen=True)
class Contender:
    """What is run. `rows`: stored times after the start, each of which ends a step."""

    problem: Problem
    map: PushForward
    options: PWGFOptions
    communicator: Communicator
    rows: int = 5
    method: type[PWGF] = PWGF

    def run(self) -> WholeRun:
        """Errors: `RunError` where the run cannot go on."""
        memory = MemoryRecorder()
        begun, until = self.problem.start_time, self.problem.until

        def whole() -> None:
            ranks = self.communicator
            runner = self.method.on(self.problem, self.map, self.options, ranks, pieces=ranks.size)
            schedule = Schedule(begun, until, (until - begun) / self.rows)
            judge = Judge(self.problem, runner.setting.evaluation)
            Loop(runner, judge, ranks, schedule, [memory]).run()

        seconds = seconds_of(whole, self.communicator.device)
        columns = memory.columns()
        sums = {name: int(columns[f"step_{name}"].sum()) for name in ("solves", "products")}
        error = worst_error(columns["map_error"], columns["map_displacement"])
        return WholeRun(seconds, error, len(columns["step_time"]), **sums)

    def tried(self) -> WholeRun | RunError:
        """The run, or why it could not go on."""
        try:
            return self.run()
        except RunError as failure:
            return failure


def worst_error(error: np.ndarray, displacement: np.ndarray) -> float:
    """max error/displacement over the rows after the first, at which nothing has moved."""
    return float(np.max(error[1:] / displacement[1:]))


def in_turn(contenders: dict[str, Contender], rounds: int) -> dict[str, list[WholeRun]]:
    """Rounds of A B A B …"""
    found: dict[str, list[WholeRun]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(contender.run())
    return found


def middle(runs: list[WholeRun]) -> WholeRun:
    """The run of the median time."""
    return sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]
