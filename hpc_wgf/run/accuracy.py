"""Samples, tolerances and stages for an accuracy that is asked for, found by pilot runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from ..choices import Precision, ToleranceUnit
from ..errors import InputError, RunError
from ..integrators import SCHEMES
from ..maps import PushForward
from ..methods.pwgf import PWGFOptions
from ..parallel import Communicator
from ..problems import Problem, no_error_bound
from ..stages import Stages
from .pilot import Pilot
from .staging import LINEAR_DEFORMATION, Staging

_SAFETY = 0.7  # of the accuracy, which the estimate of a pilot must reach
_TOLERANCE = 20.0  # of a step over the accuracy: the errors of steps add up, and decay
_LOOSEST = 0.1  # tolerance of a step
_RTOL, _LOOSEST_RTOL = 0.03, 1e-4  # of solves over the accuracy, and the largest
_SINGLE, _DOUBLE = 1e-5, 1e-13  # the smallest of them by precision
_FEWEST, _MOST = 1000, 1 << 16  # samples
_PER_RANK = 64  # at least, as blocks are of sixteen
_PER_UNKNOWN = 4  # equations of the first pilot, d of them a sample
_SMALLEST_DEFORMATION = 0.05
_PILOTS = 6  # at most
_COUNTS = 0.25  # A share of the error from which on a part is refined.
_GAINS = 0.85  # of an error, above which a refinement was in vain
_SCHEME = "kutta32"  # in place of one without an error estimate


@dataclass(frozen=True)
class Accuracy:
    """An accuracy that was asked for, and what was chosen to reach it."""

    wanted: float
    """Of the displacement."""
    samples: int
    """n."""
    rtol: float
    """Of the solves."""
    tolerance: float
    """Of a step, relative to the displacement."""
    scheme: str
    """In time."""
    deformation: float | None
    """That ends a stage; None for the default of the map, or where there are no stages."""
    estimate: float | None = None
    """The largest estimate of the last pilot over the displacement."""
    pilots: int = 0
    """Number of pilot runs."""
    note: str = ""
    """Where that is above the accuracy: by how much, why, and what would help."""

    @classmethod
    def stored(cls, attributes: Mapping[str, Any]) -> Self | None:
        """Of the attributes of a store; None for a run without."""
        kept = attributes.get("accuracy")
        return None if kept is None else cls(**kept)

    def as_attributes(self) -> dict[str, Any]:
        """What a store holds of it."""
        return asdict(self)

    def applied(
        self, options: PWGFOptions, stages: Stages | Staging
    ) -> tuple[PWGFOptions, Stages | Staging]:
        """Options and stages with what was chosen."""
        options = replace(
            options, samples=self.samples, rtol=self.rtol, tolerance=self.tolerance,
            scheme=self.scheme, tolerance_unit=ToleranceUnit.DISPLACEMENT,
        )  # fmt: skip
        if isinstance(stages, Stages):
            stages = replace(stages, deformation=self.deformation)
        return options, stages


def choose(
    problem: Problem, map: PushForward, options: PWGFOptions, stages: Stages | Staging,
    communicator: Communicator, *, every: float, check: Callable[[PWGFOptions], None],
    tell: Callable[[str], None], stop: Callable[[], bool] | None = None,
) -> Accuracy:  # fmt: skip
    """What `options.accuracy` takes: pilot runs with more and more samples, shorter steps or more
    stages, whichever makes up most of the residual r = Jθ' + f, until their estimate of the error
    is at most .7 of the accuracy at every row, or nothing helps any more. Collective; the same on
    all ranks. `check`: of the options of every pilot, before it. `tell`: shown what each has found.
    `stop`: as for a run.

    Errors: `InputError` where the error is neither estimated nor bounded, and of `check`;
    `RunError` where no pilot came to its end; `StoppedEarly` where `stop` says so."""
    assert options.accuracy is not None
    if reason := no_error_bound(problem):
        raise InputError(
            f"method.accuracy goes by the estimate of the error, and there is none: {reason}. Give "
            "method.samples and tolerance instead"
        )
    trial, last = _first(options, map, stages, communicator.size), None
    for number in range(1, _PILOTS + 1):
        trial = replace(trial, pilots=number)
        pilot, in_stages = trial.applied(options, stages)
        check(pilot)
        found = Pilot.run(problem, map, pilot, in_stages, communicator, every=every, stop=stop)
        if math.isnan(found.error):
            raise InputError(
                "method.accuracy goes by the estimate of the error or by its bound, and neither is "
                "known for this problem: say problem.convexity if you know it, or give "
                "method.samples and tolerance instead"
            )
        tell(_told(trial, found))
        if found.error <= _SAFETY * trial.wanted:
            return replace(trial, estimate=found.error)
        in_vain = last is not None and found.error > _GAINS * last[1].error
        if last is None or found.error <= last[1].error:
            last = trial, found
        finer = _refined(trial, found)
        if in_vain or finer == trial:
            break
        trial = finer
    assert last is not None
    best, found = last
    if found.failure:
        raise RunError(f"no pilot run for method.accuracy came to its end: {found.failure}")
    note = "" if found.error <= best.wanted else _explained(best.wanted, found)
    return replace(best, estimate=found.error, pilots=trial.pilots, note=note)


def _told(trial: Accuracy, found: Pilot) -> str:
    shares = (
        f"{found.of_time:.0%} of the residual by steps, {found.of_samples:.0%} by samples, "
        f"{found.of_map:.0%} by the map"
    )
    return f"pilot {trial.pilots}: {trial.samples} samples, tolerance {trial.tolerance:.2g}: " + (
        found.failure or f"error about {found.error:.2g} of the displacement, {shares}"
    )


def _first(
    options: PWGFOptions, map: PushForward, stages: Stages | Staging, ranks: int
) -> Accuracy:
    wanted = options.accuracy or 0.0
    single = str(options.dtype) == Precision.FLOAT32.value
    rtol = max(min(_LOOSEST_RTOL, _RTOL * wanted), _SINGLE if single else _DOUBLE)
    unknowns = map.parameter_count() / map.dimension
    # Every rank needs blocks of its own.
    shared = ranks * max(_PER_RANK, options.block or 0)
    wished = max(_FEWEST, min(_MOST, math.ceil(_PER_UNKNOWN * unknowns)), shared)
    return Accuracy(
        wanted=wanted,
        samples=wished,
        rtol=rtol,
        tolerance=min(_LOOSEST, _TOLERANCE * wanted),
        scheme=options.scheme if SCHEMES[options.scheme].error_order is not None else _SCHEME,
        deformation=stages.deformation if isinstance(stages, Stages) else None,
    )


def _refined(trial: Accuracy, found: Pilot) -> Accuracy:
    """With each part finer that makes up a good share of the error; the same where none can be."""
    missing = _SAFETY * trial.wanted / found.error  # 0 for a run that has failed
    if found.of_time >= _COUNTS:
        shorter = min(0.5, max(0.1, missing))
        trial = replace(trial, tolerance=trial.tolerance * shorter)
    if found.of_samples >= _COUNTS and trial.samples < _MOST:
        more = math.ceil(trial.samples * min(8.0, max(2.0, 1 / max(missing, 0.1) ** 2)))
        trial = replace(trial, samples=min(_MOST, more))
    if found.of_map >= _COUNTS and found.stages > 1:
        before = trial.deformation or LINEAR_DEFORMATION
        if before > _SMALLEST_DEFORMATION:
            trial = replace(trial, deformation=max(_SMALLEST_DEFORMATION, before / 2))
    return trial


def _explained(wanted: float, found: Pilot) -> str:
    """Why an accuracy is not reached."""
    part, why, helps = max(
        (found.of_time, "steps are too long", "a scheme of higher order (bosh32, ros2)"),
        (found.of_samples, "samples are too few", "a smaller map, or method.sampling = \"sobol\""),
        (found.of_map, "the map does not follow the force", "a richer map (more knots, a wider "
         "block), or one that fits the flow better"),
    )  # fmt: skip
    return (
        f"the error is about {found.error:.2g} of the displacement, {found.error / wanted:.2g} "
        f"times the accuracy of {wanted:g}: {part:.0%} of the residual is there because {why}. "
        f"What would help is {helps}"
    )
