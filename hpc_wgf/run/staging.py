"""Who decides when a map is frozen, and which map goes on."""

from __future__ import annotations

import copy
import math
from typing import Any, Protocol

import torch

from ..diagnostics import Judge, Look
from ..errors import InputError
from ..maps import Frame, MapState, PushForward, described_built_in
from ..methods.base import FreezesSteps, Setting, State, layout_samples
from ..problems import Problem
from ..stages import AUTO, NONE, Stages

LINEAR_DEFORMATION = 0.3
"""That ends a stage of a map that is linear in its parameters, by default."""
_ADAPTING = 1.0  # the same of trained features
_HARDLY = 0.1  # of the deformation that ends a stage
_FOLDING = 2  # Attempts at a step that fold: the next stage begins before the map itself does.


class Staging(Protocol):
    """Asked after every step, on every rank.

    What it decides must be a function of numbers that are the same on all ranks. The new stage is
    stored with a row: a run resumed there does not ask again."""

    def ends(self, state: State[Any], look: Look, *, folds: int) -> bool:
        """Whether the stage ends at `state`. `folds`: attempts at the step to it in which the map
        folded."""
        ...

    def next_map(self, state: State[Any]) -> PushForward:
        """The map, the identity at its parameters, that goes on from `state` while the present one
        is frozen."""
        ...


class StagesByMethod:
    """A stage for every step, of a method that freezes them."""

    def __init__(self, method: FreezesSteps) -> None:
        self._method = method

    def ends(self, state: State[Any], look: Look, *, folds: int) -> bool:
        return True

    def next_map(self, state: State[Any]) -> PushForward:
        return self._method.next_map(state)


class StagesByRule:
    """The rule of `Stages`. With t the time since the run began, and S the map of the stage, it
    ends after a step where

        D = (E|∇S − M|²/|M|²)^½ > deformation,   or t ≥ growth · t_begin and D > deformation/10,

    M the linear part of the affine map that is nearest to S and t_begin the time where the stage
    began; or where attempts at the step have folded the map. A stage that hardly bends may last, as
    freezing it would gain nothing."""

    def __init__(
        self, stages: Stages, setting: Setting, judge: Judge, first: PushForward, *, begun: float
    ) -> None:
        """`first`: the map of the first stage, before it was laid out. `begun`: the time at which
        the present stage began."""
        self._stages, self._setting, self._judge = stages, setting, judge
        self._first, self._begun = first, begun
        if first.features_and_coordinates() is not None:
            most = LINEAR_DEFORMATION
        else:
            # Without a density a fold is no harm, and trained features go along with the particles.
            most = _ADAPTING if setting.problem.needs_density else math.inf
        self._most = stages.deformation or most

    @classmethod
    def of(
        cls, stages: Stages | Staging, setting: Setting, judge: Judge, first: PushForward, *,
        begun: float,
    ) -> Staging | None:  # fmt: skip
        """What the loop asks, from an argument of `solve`; None for one map from start to end."""
        if not isinstance(stages, Stages):
            return stages
        if stages.when == NONE or (stages.when == AUTO and not _can_begin_stages(first)):
            return None
        return cls(stages, setting, judge, first, begun=begun)

    def ends(self, state: State[Any], look: Look, *, folds: int) -> bool:
        stages, start = self._stages, self._setting.problem.start_time
        if stages.when != AUTO:
            return state.time in stages.when
        lasted, before = state.time - start, self._begun - start
        long = before > 0 and lasted >= stages.growth * before
        most = (_HARDLY if long else 1.0) * self._most
        return folds >= _FOLDING or (
            math.isfinite(most) and self._judge.deformation(state.map) > most
        )

    def next_map(self, state: State[Any]) -> PushForward:
        self._begun = state.time
        map = copy.deepcopy(self._first).to(state.theta)
        map.lay_out(self._frame(state.map))
        return map

    @torch.no_grad()
    def _frame(self, map: MapState) -> Frame:
        """Mean, covariance and range of the images of the same few start samples on every rank."""
        z = layout_samples(self._setting.problem.start)
        return Frame.of_samples(map(z.to(map.theta)))


def refuse_stages(stages: Stages | Staging) -> None:
    """Errors: `InputError` where stages are given of a method that freezes every step."""
    if not isinstance(stages, Stages) or stages.when != AUTO:
        raise InputError(
            "stages were given, of a method that freezes a map with every step: leave stages.when "
            "out, or use another method"
        )


def check_stages(stages: Stages | Staging, first: PushForward, problem: Problem) -> None:
    """Errors: `InputError` where stages are wanted of a map that cannot begin one, or at times
    outside of the run."""
    if not isinstance(stages, Stages) or isinstance(stages.when, str):
        return
    described_built_in(first)
    begin, end = problem.start_time, problem.until
    outside = [time for time in stops(stages) if not begin < time < end]
    if outside:
        raise InputError(
            f"stages.when: no stage can begin at t = {outside[0]:g}: give times within the run, "
            f"after {begin:g} and before {end:g}"
        )


def _can_begin_stages(map: PushForward) -> bool:
    try:
        described_built_in(map)
    except InputError:
        return False
    return True


def stops(stages: Stages | Staging) -> tuple[float, ...]:
    """Times at which a step has to end, as a stage begins there."""
    if not isinstance(stages, Stages) or isinstance(stages.when, str):
        return ()
    return tuple(stages.when)
