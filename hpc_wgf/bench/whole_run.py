"""Whole runs from start to end, timed, with their errors and work; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from ..run.staging import StagesByRule
from ..stages import Stages


@dataclass(frozen=True)
class WholeRun:
    """What a run took, and how accurate it is."""

    seconds: float
    """Seconds from the making of the method to the last row."""
    error: float
    """(E|T − T_exact|²)^½ over the displacement, the largest at a stored time; not-a-number without
    an exact map."""
    steps: int
    """Accepted steps."""
    solves: int
    """Linear solves."""
    products: int
    """Products with Ĝ."""


@dataclass(frozen=True)
class Contender:
    """A run that is to be compared with others."""

    problem: Problem
    """The equation, its start density and its time span."""
    map: PushForward
    """The map at its initial parameters, which stay as they are."""
    options: PWGFOptions
    """The options of the method."""
    communicator: Communicator
    """The ranks."""
    rows: int = 5
    """Stored times after the start, equally spaced; each ends a step."""
    method: type[PWGF] = PWGF
    """The method, perhaps with other products."""
    stages: Stages = field(default_factory=lambda: Stages("none"))
    """When the map is frozen; by default never, so that products of one map are compared."""

    def run(self) -> WholeRun:
        """Carry out the run and time it; collective. Errors: `RunError` where it cannot go on."""
        memory = MemoryRecorder()
        begun, until = self.problem.start_time, self.problem.until

        def whole() -> None:
            ranks = self.communicator
            runner = self.method.on(self.problem, self.map, self.options, ranks, pieces=ranks.size)
            schedule = Schedule(begun, until, (until - begun) / self.rows)
            judge = Judge(self.problem, runner.setting.evaluation)
            staging = StagesByRule.of(
                self.stages, runner.setting, judge, self.map, begun=self.problem.start_time
            )
            Loop(runner, judge, ranks, schedule, [memory], staging).run()

        seconds = seconds_of(whole, self.communicator.device)
        columns = memory.columns()
        sums = {name: int(columns[f"step_{name}"].sum()) for name in ("solves", "products")}
        error = worst_error(columns["map_error"], columns["map_displacement"])
        return WholeRun(seconds, error, len(columns["step_time"]), **sums)

    def tried(self) -> WholeRun | RunError:
        """The run, or the error that ended it."""
        try:
            return self.run()
        except RunError as failure:
            return failure


def worst_error(error: np.ndarray, displacement: np.ndarray) -> float:
    """max error/displacement over the stored times, (rows,) each.

    The first is left out, as nothing has moved there.
    """
    return float(np.max(error[1:] / displacement[1:]))


def in_turn(contenders: dict[str, Contender], rounds: int) -> dict[str, list[WholeRun]]:
    """The runs of each contender by its name, carried out in rounds A B A B …"""
    found: dict[str, list[WholeRun]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(contender.run())
    return found


def middle(runs: list[WholeRun]) -> WholeRun:
    """The run whose time is the median."""
    return sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]
