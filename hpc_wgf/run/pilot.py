"""A run in memory that tells which error other settings would have."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from ..checks import check_start
from ..columns import STEP_PREFIX
from ..diagnostics import ErrorMonitor, Judge
from ..errors import RunError, StoppedEarly
from ..maps import PushForward
from ..methods.base import MethodOptions, Setting
from ..observers import MemoryRecorder
from ..parallel import Communicator, agreed
from ..problems import Problem
from ..report.summary import displacement
from ..stages import Stages
from .loop import Loop
from .schedule import Schedule
from .staging import StagesByRule, Staging, stops

_PARTICLES = 2000  # of the evaluation sample at least


@dataclass(frozen=True)
class Pilot:
    """What a run in memory has found."""

    error: float
    """The largest estimate at a row over the displacement there, or where the error is not followed
    the largest bound. Infinite where the run could not be completed, and not a number where neither
    is known."""
    of_time: float
    """Shares of ∫E|r|² dt, with sum 1: what comes of the length of steps, as r is larger between
    the ends of a step than there,"""
    of_samples: float
    """of their number, as r is larger at other samples than at those of the step,"""
    of_map: float
    """and what is left over at these."""
    stages: int = 1
    """Number of stages."""
    failure: str = ""
    """Why the run could not be completed."""

    @classmethod
    def run(
        cls, problem: Problem, map: PushForward, options: MethodOptions, stages: Stages | Staging,
        communicator: Communicator, *, every: float, stop: Callable[[], bool] | None = None,
    ) -> Self:  # fmt: skip
        """Collective; the same on all ranks. `stop`: asked after every step. Errors: `InputError`
        as for a run; `StoppedEarly` where `stop` has said so."""
        if not isinstance(stages, Stages):
            stages = copy.deepcopy(stages)  # It may remember what it was asked.
        particles = max(options.samples, _PARTICLES)
        with agreed(communicator):
            setting = Setting.of(problem, map, options, communicator, particles=particles)
            check_start(problem, setting.map, setting.evaluation.ensemble)
            method = options.bind(setting)
            for check in method.checks():
                check()
        judge = Judge(problem, setting.evaluation)
        errors = ErrorMonitor.of(judge, setting.sampler)
        schedule = Schedule(problem.start_time, problem.until, every, stops(stages))
        staging = StagesByRule.of(stages, setting, judge, map, begun=problem.start_time)
        memory = MemoryRecorder()
        try:
            last = Loop(method, judge, communicator, schedule, [memory], staging, errors).run(
                stop=stop
            )
        except RunError as failure:
            found = cls(math.inf, 1 / 3, 1 / 3, 1 / 3, failure=str(failure))
        else:
            if last.time < problem.until:
                raise StoppedEarly(
                    "stopped on request while pilot runs were looking for the settings of "
                    "method.accuracy: nothing is stored yet"
                )
            found = cls._of(memory.columns())
        finally:
            setting.sampler.close()
        # Estimates are computed by every rank alone: on unlike machines their last bits differ.
        return cast(Self, communicator.gather(found)[0])

    @classmethod
    def _of(cls, column: dict[str, np.ndarray]) -> Self:
        size, own, fresh, between = (
            np.nan_to_num(column[STEP_PREFIX + name])
            for name in ("size", "projection_error", "projection_error_fresh", "residual_between")
        )
        ends = (fresh + np.append(fresh[1:], fresh[-1:])) / 2
        # Of Simpson's rule the middle has two thirds.
        more = 2 / 3 * np.maximum(0.0, between**2 - ends)
        parts = size @ more, size @ np.maximum(0.0, fresh - own), size @ np.minimum(own, fresh)
        total = float(sum(parts)) or 1.0
        of_time, of_samples, of_map = (float(part) / total for part in parts)
        stages = 1 + int(np.nanmax(column["stage"], initial=0.0))
        return cls(_worst(column), of_time, of_samples, of_map, stages)


def _worst(column: dict[str, np.ndarray]) -> float:
    displaced = displacement(column)
    for name in ("error_estimate", "error_bound"):
        if np.isfinite(column[name]).any():
            # Where nothing has moved, an error has no size to be held against.
            relative = (column[name] / displaced)[np.isfinite(displaced)]
            return float(np.nan_to_num(relative, nan=np.inf).max(initial=0.0))
    return math.nan
