"""The time loop: propose, accept or reject, observe."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..accounts import Part, counted, part
from ..checks import check_commutes, check_identity, check_same_stage
from ..columns import Column
from ..diagnostics import ErrorMonitor, Judge, Look, PathPoint
from ..ensemble import SamplesFailed
from ..errors import LoopError, StepFailed, StepUnfinished
from ..integrators import Controller, FixedStep
from ..maps import described_built_in
from ..methods.base import Method, State, Trial, begin_stage
from ..observers import NewStage, Observer, Snapshot, StepRecord
from ..parallel import Communicator, agreed, any_rank
from .rejections import Rejected, Rejections
from .schedule import Schedule
from .staging import Staging

_NAN = float("nan")
ERROR_STATE = "error_state"
"""Of a stopped run's memory, what the error's monitor goes on with."""
METHOD_STATE = "method_state"
"""The same of `State.kept`."""

COLUMNS: Sequence[Column] = (
    Column("stage", "time", "frozen stages below the map of the row", integer=True),
    Column("steps_taken", "time", "steps before the row", integer=True),
    Column("next_step_size", "time", "step that is proposed next", "t"),
    Column("controller_error", "time", "error of the last accepted step, as the controller "
           "remembers it"),
    Column("wall_seconds", "time", "seconds of computation up to the row", "s"),
    Column("time", "step", "time at which the step begins", "t"),
    Column("size", "step", "length of the step", "t"),
    Column("rejected", "step", "attempts that were rejected before the step", integer=True),
    Column("eta_norm", "step", "|eta| where the step begins", "1/t", optional=True),
    Column("seconds", "step", "seconds of computation of the step", "s"),
)  # fmt: skip
"""The figures of the loop itself."""


@dataclass(frozen=True)
class _Point:
    """A state that has been accepted and entered."""

    state: State[Any]
    look: Look
    """How the evaluation sample sees it."""


@dataclass(frozen=True)
class Loop:
    """One method on its way through time, and who watches."""

    method: Method[Any]
    judge: Judge
    communicator: Communicator
    schedule: Schedule
    observers: Sequence[Observer]
    staging: Staging | None = None
    """Decides on stages; None for one map from start to end."""
    errors: ErrorMonitor | None = None
    """Follows the error from step to step; None where that is not wanted."""

    @counted(Part.REST)
    def run(
        self,
        resume_from: State[Any] | None = None,
        *,
        seconds_before: float = 0.0,
        stop: Callable[[], bool] | None = None,
    ) -> State[Any]:
        """Run from the start, or from the last stored state, to `schedule.until`; or to the end of
        the step after which `stop`, which is asked on every rank, says so on one of them.

        A step counts once the state at its end has been entered on fresh samples without folding:
        what cannot go on is not accepted. Errors: `RunError` when a step cannot be completed.
        """
        begun = clock.monotonic() - seconds_before
        try:
            point = self._first(resume_from or self.method.start())
            if resume_from is None:
                point = self._store(point, clock.monotonic() - begun)
            while point.state.time < self.schedule.until:
                stored = self.schedule.next_after(point.state.time)
                try:
                    point, folds = self._accepted_step(point)
                except StepUnfinished as unfinished:
                    self._keep(point.state, unfinished.memory, clock.monotonic() - begun)
                    break
                stage = self._begun_stage(point, folds)
                if point.state.time == stored or stage is not None:
                    point = self._store(point, clock.monotonic() - begun, stage)
                if point.state.time < self.schedule.until and self._stopped(stop):
                    memory = self.method.state_dict(point.state)
                    self._keep(point.state, memory, clock.monotonic() - begun)
                    break
        finally:
            for observer in self.observers:
                observer.on_end()
        return point.state

    def _keep(self, state: State[Any], memory: Mapping[str, np.ndarray], seconds: float) -> None:
        """Show the observers where the run stops, and what it goes on with from there."""
        kept = dict(memory)
        if self.errors is not None:
            kept[ERROR_STATE] = self.errors.state
        if state.kept is not None:
            kept[METHOD_STATE] = state.kept.cpu().numpy()
        with part(Part.OUTPUT):
            for observer in self.observers:
                observer.on_stop(state, kept, seconds)

    def _stopped(self, stop: Callable[[], bool] | None) -> bool:
        return stop is not None and any_rank(self.communicator, stop())

    def _first(self, state: State[Any]) -> _Point:
        try:
            return self._entered(state)
        except StepFailed as failure:
            raise LoopError(f"at t = {state.time:g}, before the first step: {failure}") from failure

    def _entered(self, state: State[Any], since: Look | None = None) -> _Point:
        entered = self.method.enter(state)
        velocity = self.method.velocity(entered)
        return _Point(entered, self.judge.look(entered.map, velocity, since, time=entered.time))

    def _store(
        self, point: _Point, seconds: float, stage: tuple[State[Any], NewStage] | None = None
    ) -> _Point:
        """Show a row to the observers; the point from which the run goes on, in a new `stage` where
        one begins there. At the end of a run too: it may be resumed to a later one."""
        row = self._snapshot(point, seconds)
        if stage is None:
            state = None
        else:
            state, new_stage = stage
            row = replace(row, new_stage=new_stage)
        with part(Part.OUTPUT):
            for observer in self.observers:
                observer.on_row(row)
        goes_on = state is not None and state.time < self.schedule.until
        return self._first(state) if state is not None and goes_on else point

    def _begun_stage(self, point: _Point, folds: int) -> tuple[State[Any], NewStage] | None:
        """The state in a new stage where one begins, which all ranks must decide alike. `folds`:
        attempts at the last step that folded. Errors: `InputError`."""
        if self.staging is None:
            return None
        ends = self.staging.ends(point.state, point.look, folds=folds)
        if not any_rank(self.communicator, ends):
            return None
        begun = None
        with agreed(self.communicator):
            if ends:
                map = self.staging.next_map(point.state)
                state = begin_stage(point.state, map)
                check_identity(state.map.map, point.look.x)
                check_commutes(state.map.map, self.judge.problem.periods, point.look.x)
                begun = state, NewStage(described_built_in(map), state.theta)
        decided = None if begun is None else (begun[1].map, begun[1].theta)
        check_same_stage(decided, self.communicator)
        return begun

    def _snapshot(self, point: _Point, seconds: float) -> Snapshot:
        state, look, velocity = point.state, point.look, self.method.velocity(point.state)
        return Snapshot(
            state=replace(state, map=state.map.moved(state.theta.detach().clone()), entered=None),
            particles=look.x,
            log_density=self.judge.log_density(look),
            log_weight=self.judge.evaluation.log_weight,
            velocity=velocity,
            last=state.time >= self.schedule.until,
            error_state=None if self.errors is None else self.errors.state,
            figures={
                **({} if self.errors is None else self.errors.figures(state.map)),
                **self.judge.figures(state.time, state.map, velocity, look),
                **self.method.figures(state),
                "stage": len(state.map.stages),
                "steps_taken": state.step,
                "next_step_size": state.step_size,
                "controller_error": state.last_error,
                "wall_seconds": seconds,
            },
        )

    def _accepted_step(self, point: _Point) -> tuple[_Point, int]:
        """The next accepted point, after as many rejections as it takes, and the number of those
        in which the map folded; the observers see the step."""
        begun = clock.monotonic()
        state, proposal, controller = point.state, point.state.step_size, self.method.controller()
        rejections = Rejections()
        while not rejections.are_enough:
            try:
                trial, reached = self._attempt(controller, point, proposal)
            except Rejected as rejected:
                proposal = rejected.proposal
                rejections.add(rejected)
                continue
            velocity = self.method.velocity(state)
            followed = self._followed(point, reached)
            record = StepRecord({
                "time": state.time,
                "size": reached.state.time - state.time,
                "energy": point.look.energy,
                "energy_change_error": reached.look.energy_change_error,
                "projection_error_fresh": point.look.projection_error,
                "eta_norm": _NAN if velocity is None else float(velocity.double().norm()),
                "rejected": rejections.count,
                "seconds": clock.monotonic() - begun,
                **trial.figures,
                **followed,
            })  # fmt: skip
            with part(Part.OUTPUT):
                for observer in self.observers:
                    observer.on_step(record)
            return reached, rejections.folds
        raise LoopError(
            _with_remedy(rejections.explained(state.time), state, folded=rejections.folds > 0)
        )

    def _followed(self, begun: _Point, reached: _Point) -> dict[str, float]:
        """The error's bound and estimate go along; their columns of the step."""
        if self.errors is None:
            return {}
        since = clock.monotonic()
        first, last = (
            PathPoint(point.state.map, self.method.velocity(point.state), point.look)
            for point in (begun, reached)
        )
        between = self.errors.advance(first, last, reached.state.time - begun.state.time)
        return {"residual_between": between, "seconds_bound": clock.monotonic() - since}

    def _attempt(
        self, controller: Controller, point: _Point, proposal: float
    ) -> tuple[Trial[Any], _Point]:
        """One step and the point it reaches. Errors: `Rejected` for a shorter one; `RunError`
        where steps may not change."""
        state = point.state
        size, end = self.schedule.step_to(state.time, proposal)
        try:
            trial = self.method.advance(state, size)
            displacement = point.look.displacement + trial.moved
            verdict = controller.judge(trial.error, state.last_error, displacement)
            if not verdict.accept:
                raise Rejected(size * verdict.factor, size, "its error is above the tolerance")
            # A step shortened to meet a stored time must not shorten those after it.
            wished = min(proposal, state.step_size) * min(1.0, verdict.factor)
            # What solves remember ends at a stored time: a run resumed there must find the same.
            ends_row = end == self.schedule.next_after(state.time)
            after = State(
                time=end,
                map=trial.map,
                step=state.step + 1,
                step_size=max(size * verdict.factor, wished),
                last_error=verdict.error,
                memory=None if ends_row else trial.memory,
                kept=trial.kept,
            )
            return trial, self._entered(after, point.look)
        except StepFailed as failure:
            factor = controller.after_failure()
            samples = failure.samples if isinstance(failure, SamplesFailed) else None
            if factor is None:
                said = (
                    f"the step of {size:g} from t = {state.time:g} failed: {failure}. Shorten "
                    "method.step"
                )
                if isinstance(controller, FixedStep) and controller.may_adapt:
                    said += ", or give method.tolerance so that steps shorten themselves"
                folded = samples is not None and samples.has_folded
                raise LoopError(_with_remedy(said, state, folded=folded)) from failure
            raise Rejected(size * factor, size, str(failure), samples) from failure


def _with_remedy(said: str, state: State[Any], *, folded: bool) -> str:
    """What is said where a run ends, and what else helps where the map of `state` has folded."""
    remedy = state.map.map.fold_remedy if folded else ""
    return f"{said}, {remedy}" if remedy else said
