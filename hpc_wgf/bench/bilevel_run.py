"""[PFPE] Algorithm 1 beside PWGF in three metrics: one map, one time, the map's error."""

from __future__ import annotations

from dataclasses import replace

from ..choices import Metric
from ..diagnostics import Judge
from ..maps import MapState, PushForward
from ..methods.base import Setting
from ..methods.pwgf import PWGFOptions
from ..output import Output
from ..parallel import Communicator
from ..problems import Problem
from ..profiling.timing import seconds_of
from ..solution import Solution, solve
from .bilevel import BiLevel, check_bilevel, run_bilevel
from .pwgf_problem import pwgf_problem
from .record import Row

_STEP, _LAYERS = 0.005, 60  # [PFPE 6.1.1]
_STEPS = 2  # of it that are made, unless problem.until says otherwise


def rows(
    problem: str, samples: int | None, settings: tuple[str, ...], communicator: Communicator,
    numbers: BiLevel | None = None,
) -> list[Row]:  # fmt: skip
    """A row for Algorithm 1, for it with exact inner solves, and for PWGF in three metrics, on the
    planar layers of the paper from the start of a named problem to its `problem.until`, by default
    two steps of .005.

    `samples`: n of PWGF, by default 1000; the algorithm takes those of the paper. `settings`:
    "a.b=value" for the run file. `numbers`: of the algorithm, by default the paper's. Errors:
    `InputError` for problems that are no Fokker–Planck equation, and on several ranks."""
    flow, map, options = pwgf_problem(
        problem, f"problem.until={_STEPS * _STEP!r}", f"method.step={_STEP}", "method.scheme=heun",
        'map=[{kind="planar", layers=' + str(_LAYERS) + "}]", f"method.samples={samples or 1000}",
        "method.tolerance=none", "method.form=force", "method.sampling=random", *settings,
    )  # fmt: skip
    check_bilevel(flow, communicator)
    numbers = numbers or BiLevel()
    return [
        *(
            _rival(problem, flow, map, options, replace(numbers, exact=exact), communicator)
            for exact in (False, True)
        ),
        *(
            _ours(problem, flow, map, replace(options, metric=metric), communicator)
            for metric in (Metric.PULLBACK, Metric.GRADIENT, Metric.FLAT)
        ),
    ]


def _row(
    problem: str, method: str, error: float, seconds: float, samples: int, map: PushForward,
    steps: int,
) -> Row:  # fmt: skip
    return {
        "problem": problem, "method": method, "error": error, "seconds": seconds,
        "samples": samples, "parameters": map.parameter_count(), "steps": steps,
        "seconds_a_step": seconds / max(1, steps),
    }  # fmt: skip


def _rival(
    name: str, problem: Problem, map: PushForward, options: PWGFOptions, numbers: BiLevel,
    communicator: Communicator,
) -> Row:  # fmt: skip
    setting = Setting.of(problem, map, options, communicator)
    own, judge = setting.map.double(), Judge(problem, setting.evaluation)
    done: list[int] = []
    seconds = seconds_of(
        lambda: done.append(
            run_bilevel(
                problem, own, options.step_size, numbers, communicator, seed=options.seed
            )
        ),
        communicator.device,
    )  # fmt: skip
    at = MapState((), own, own.get_theta())
    figures = judge.figures(problem.until, at, None, judge.look(at, time=problem.until))
    error = figures["map_error"] / figures["map_displacement"]
    method = "Algorithm 1, ψ solved exactly" if numbers.exact else "Algorithm 1"
    per_step = numbers.outer * (1 if numbers.exact else numbers.inner)
    return {
        **_row(name, method, error, seconds, options.samples, own, done[0]),
        "inner_steps": per_step * done[0],
    }


def _ours(
    name: str, problem: Problem, map: PushForward, options: PWGFOptions,
    communicator: Communicator,
) -> Row:  # fmt: skip
    output = Output(every=problem.until - problem.start_time, bound=False)
    found: list[Solution] = []
    seconds = seconds_of(
        lambda: found.append(solve(problem, map, options, output, communicator=communicator)),
        communicator.device,
    )
    summary = found[0].summary
    error = (summary.map_error_relative or [None])[-1]
    return _row(
        name, f"PWGF, metric {options.metric}", float("nan") if error is None else error, seconds,
        options.samples, map, summary.steps,
    )  # fmt: skip
