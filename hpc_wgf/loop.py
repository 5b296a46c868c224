"""The time loop: propose, accept or reject, observe."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from .diagnostics import MapError, affine_law, map_error, symmetric_kl
from .errors import InputError, RunError
from .integrators import Controller
from .methods import Measurement, Method, State, StepFailed, StepResult, Velocity
from .observers import Observer, Snapshot, StepRecord
from .problems import GaussianFlow, Problem

_MAX_REJECTIONS = 20
_NAN = float("nan")


@dataclass(frozen=True)
class Schedule:
    """Stored times: `start`, start + every, start + 2·every, … and `until`.

    They are rounded to twelve digits, so that a run to a multiple of `every`, as a user writes it,
    ends where a longer one only passes: to be resumed there as that one.

    Errors: `InputError` where numbers near `until` lie too far apart to tell stored times."""

    start: float
    until: float
    every: float

    def __post_init__(self) -> None:
        if self._slack(self.every) > 1e-3:
            raise InputError(
                f"near t = {self.until:.12g} numbers lie too far apart for rows every "
                f"{self.every:.3g}: count time from a start_time nearer to 0"
            )

    def _slack(self, unit: float) -> float:
        """What rounding may do to a difference of times, in such units."""
        return 1e-9 + 4 * math.ulp(max(abs(self.start), abs(self.until))) / unit

    def next_after(self, time: float) -> float:
        """The first stored time after `time`."""
        slack = self._slack(self.every)
        k = math.floor((time - self.start) / self.every + slack) + 1
        exact = self.start + k * self.every
        rounded = float(f"{exact:.12g}")
        following = rounded if abs(rounded - exact) < 1e-9 * self.every else exact
        return following if following < self.until - slack * self.every else self.until

    def step_to(self, time: float, proposal: float) -> tuple[float, float]:
        """(step, time after it): the proposal shortened so that equal steps end on the next
        stored time, which the last of them meets exactly. A function of the state alone."""
        target, slack = self.next_after(time), self._slack(proposal)
        left = max(1, math.ceil((target - time) / proposal - slack))
        step = (target - time) / left
        if slack > 0.1:
            raise RunError(
                f"a step of {proposal:.3g} is lost beside t = {time:.12g}: take longer steps, or "
                "count time from a start_time nearer to 0"
            )
        return step, target if left == 1 else time + step


@dataclass(frozen=True)
class _Point:
    """A state that has been accepted: its velocity and how the evaluation sample sees it."""

    state: State
    velocity: Velocity
    seen: Measurement


def integrate(
    problem: Problem,
    method: Method,
    schedule: Schedule,
    observers: Sequence[Observer],
    *,
    resume_from: State | None = None,
    seconds_before: float = 0.0,
    stop: Callable[[], bool] | None = None,
) -> State:
    """Run from the start, or from the last stored state, to `schedule.until`; or to the end of
    the step after which `stop`, which is asked on every rank, says so on one of them.

    A step counts once the velocity at its end has been computed on fresh samples without folding:
    what cannot go on is not accepted. Errors: `RunError` when a step cannot be completed.
    """
    begun = clock.monotonic() - seconds_before
    state = resume_from or method.start()
    try:
        point = _first(method, state)
        if resume_from is None:
            row = _row(problem, method, point, clock.monotonic() - begun)
            for observer in observers:
                observer.on_row(row)
        while point.state.time < schedule.until:
            stored = schedule.next_after(point.state.time)
            point, step = _accepted_step(method, method.controller(), schedule, point)
            for observer in observers:
                observer.on_step(step)
            if point.state.time == stored:
                row = _row(problem, method, point, clock.monotonic() - begun)
                for observer in observers:
                    observer.on_row(row)
            if point.state.time < schedule.until and _stopped(method, stop):
                memory = method.state_dict(point.state)
                for observer in observers:
                    observer.on_stop(point.state, memory, clock.monotonic() - begun)
                break
    finally:
        for observer in observers:
            observer.on_end()
    return point.state


def _stopped(method: Method, stop: Callable[[], bool] | None) -> bool:
    if stop is None:
        return False
    communicator = method.communicator
    asked = torch.tensor([float(stop())], device=communicator.device)
    return bool(communicator.sum(asked) > 0)


def _first(method: Method, state: State) -> _Point:
    try:
        velocity = method.velocity(state)
        return _Point(state, velocity, method.measure(state, velocity))
    except StepFailed as failure:
        raise RunError(f"at t = {state.time:g}, before the first step: {failure}") from failure


class _Rejected(Exception):
    """The step is to be tried again with `proposal`."""

    def __init__(self, proposal: float, size: float, cause: str) -> None:
        super().__init__(f"the last of {size:g}: {cause}")
        self.proposal = proposal


def _accepted_step(
    method: Method, controller: Controller, schedule: Schedule, point: _Point
) -> tuple[_Point, StepRecord]:
    """The next accepted point, after as many rejections as it takes."""
    begun = clock.monotonic()
    state, proposal = point.state, point.state.step_size
    for rejected in range(_MAX_REJECTIONS):
        try:
            result, reached = _attempt(method, controller, schedule, point, proposal)
        except _Rejected as rejection:
            proposal, last = rejection.proposal, rejection
            continue
        step = StepRecord(
            {
                "time": state.time,
                "size": reached.state.time - state.time,
                "energy": point.seen.energy,
                "energy_rate": point.velocity.energy_rate,
                "projection_error": point.velocity.projection_error,
                "projection_error_fresh": point.seen.projection_error,
                "products": point.velocity.products + result.products,
                "solves": 1 + result.solves,
                "unconverged": result.unconverged + (not point.velocity.converged),
                "residual": max(point.velocity.residual, result.worst_residual),
                "rejected": rejected,
                "eta_norm": float(point.velocity.eta.double().norm()),
                "nonlinearity": point.velocity.nonlinearity,
                "shift": point.velocity.shift,
                "seconds": clock.monotonic() - begun,
            }
        )
        return reached, step
    raise RunError(
        f"{_MAX_REJECTIONS} steps from t = {state.time:g} were rejected, {last}. Shorter steps do "
        "not help: take more samples, a looser method.rtol (which keeps the parameter velocity "
        "small) or another map"
    )


def _attempt(
    method: Method, controller: Controller, schedule: Schedule, point: _Point, proposal: float
) -> tuple[StepResult, _Point]:
    """One step and the point it reaches. Errors: `_Rejected` for a shorter one; `RunError` where
    steps may not change."""
    state = point.state
    size, end = schedule.step_to(state.time, proposal)
    try:
        result = method.step(state, point.velocity, size)
        verdict = controller.judge(result.error, state.last_error)
        if not verdict.accept:
            raise _Rejected(size * verdict.factor, size, "its error is above the tolerance")
        # A step shortened to meet a stored time must not shorten those after it.
        wished = min(proposal, state.step_size) * min(1.0, verdict.factor)
        following = max(size * verdict.factor, wished)
        # What solves remember ends at a stored time: a run resumed there must find the same.
        memory = None if end == schedule.next_after(state.time) else result.memory
        after = State(end, result.theta, state.step + 1, following, verdict.error, memory)
        velocity = method.velocity(after)
        return result, _Point(after, velocity, method.measure(after, velocity))
    except StepFailed as failure:
        factor = controller.after_failure()
        if factor is None:
            raise RunError(
                f"the step of {size:g} from t = {state.time:g} failed: {failure}. Shorten "
                "method.step, or give method.tolerance so that steps shorten themselves"
            ) from failure
        raise _Rejected(size * factor, size, str(failure)) from failure


def _row(problem: Problem, method: Method, point: _Point, seconds: float) -> Snapshot:
    state, velocity, seen = point.state, point.velocity, point.seen
    log_partition, beta = problem.log_partition(), problem.energy.beta()
    error = _exact_error(problem, method, state.time, seen)
    figures = {
        "steps_taken": state.step,
        "next_step_size": state.step_size,
        "controller_error": state.last_error,
        "stage": 0,
        "wall_seconds": seconds,
        "energy": seen.energy,
        "energy_rate": velocity.energy_rate,
        "energy_rate_measured": method.measured_rate(state, velocity, seen),
        "kl_divergence": _NAN if log_partition is None else seen.energy / beta + log_partition,
        "projection_error": velocity.projection_error,
        "projection_error_fresh": seen.projection_error,
        "force_square": velocity.force_square,
        "map_error": error.absolute,
        "map_displacement": error.displacement,
        "symmetric_kl": _symmetric_kl(problem, method, state.time, seen),
        "folded": seen.folded,
    }
    return Snapshot(
        state=replace(state, theta=state.theta.detach().clone()),
        particles=seen.x,
        log_density=seen.log_density,
        velocity=velocity.eta,
        figures=figures,
    )


def _exact_error(problem: Problem, method: Method, time: float, seen: Measurement) -> MapError:
    if problem.exact is None:
        return MapError(_NAN, _NAN)
    z = method.evaluation.z
    exact = problem.exact(time - problem.start_time, z)
    return map_error(z, seen.x, exact, method.evaluation.blocks.total, method.communicator)


def _symmetric_kl(problem: Problem, method: Method, time: float, seen: Measurement) -> float:
    """Of the nearest Gaussian push-forward to the exact law, where that is Gaussian and there
    are samples enough to fit one."""
    enough = method.evaluation.blocks.total > problem.dimension
    if not isinstance(problem.exact, GaussianFlow) or not enough:
        return _NAN
    start = problem.exact.start
    z = method.evaluation.z
    fitted = affine_law(z, seen.x, start.mean, start.covariance, method.communicator)
    return symmetric_kl(*fitted, *problem.exact.law(time - problem.start_time))
