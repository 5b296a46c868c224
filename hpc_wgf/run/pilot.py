"""A run in memory that tells which error other settings would have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..checks import check_start
from ..columns import STEP_PREFIX
from ..diagnostics import ErrorMonitor, Judge
from ..errors import RunError
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
    failure: str = ""
    """Why the run could not be completed."""

    @classmethod
    def run(
        cls, problem: Problem, map: PushForward, options: MethodOptions, stages: Stages | Staging,
        communicator: Communicator, *, every: float,
    ) -> Self:  # fmt: skip
        """Collective. Errors: `InputError` as for a run."""
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
            Loop(method, judge, communicator, schedule, [memory], staging, errors).run()
        except RunError as failure:
            return cls(math.inf, 1 / 3, 1 / 3, 1 / 3, str(failure))
        return cls._of(memory.columns())

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
        return cls(_worst(column), of_time, of_samples, of_map)


def _worst(column: dict[str, np.ndarray]) -> float:
    for name in ("error_estimate", "error_bound"):
        relative = (column[name] / displacement(column))[1:]
        if np.isfinite(column[name]).any():
            return float(np.nan_to_num(relative, nan=np.inf).max(initial=0.0))
    return math.nan
