"""One linear solve with and without a preconditioner, to the same projection error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..choices import Preconditioning
from ..errors import InputError
from ..krylov import SolveStats, Status
from ..methods.pwgf import PWGF
from ..methods.pwgf.normal_equations import NormalEquations
from ..parallel import Communicator
from ..profiling.timing import Times, interleaved
from ..solution import solve as run
from .equal_error import Solves
from .pwgf_problem import pwgf_problem
from .record import Row

CASES = {"porous-5d": 100_000, "styblinski-tang-30d": None, "porous-2d": None, "porous-15d": None}
"""Problems by name, with the number of samples; None for that of the run file."""
_FRACTION = 1 / 3  # The system is that at this fraction of the problem's time span.
_COARSE = ("method.rtol=1e-3", "output.every=1")  # settings of the run up to that time
_COARSE_SAMPLES = 2000


def rows(
    cases: Sequence[str], samples: int | None, settings: Sequence[str], rounds: int,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem named in `cases`; collective.

    `samples`: n in place of that of `CASES`. `settings`: "a.b=value" for the run files.

    Errors: `InputError` where the method of a problem uses no preconditioner.
    """
    return [_row(name, samples, settings, rounds, communicator) for name in cases]


def state_of(name: str, settings: Sequence[str], communicator: Communicator) -> Tensor:
    """θ, (p,), at a third of the problem's time span, by a coarse run of at most 2000 samples."""
    problem, _, method = pwgf_problem(name, *settings)
    until = problem.start_time + _FRACTION * (problem.until - problem.start_time)
    few = min(method.samples, _COARSE_SAMPLES)
    coarse = pwgf_problem(
        name, *settings, *_COARSE, f"problem.until={until!r}", f"method.samples={few}"
    )  # fmt: skip
    return run(*coarse, communicator=communicator).map.get_theta()


def _row(
    name: str, samples: int | None, settings: Sequence[str], rounds: int,
    communicator: Communicator,
) -> Row:  # fmt: skip
    problem, map, options = pwgf_problem(name, *settings)
    options = replace(options, samples=samples or CASES.get(name) or options.samples)
    particles = 64 * communicator.size
    runner = PWGF.on(problem, map, options, communicator, particles=particles)
    if runner.preconditioner is Preconditioning.NONE:
        raise InputError(f"{name} asks for no preconditioner: there is nothing to compare")
    theta = state_of(name, settings, communicator)
    solves = Solves(runner, options, _system_at(theta, runner))
    eta, plain = solves.plain()
    model = solves.build()
    bound = solves.projection_error(eta)
    shift, fast_eta, fast = solves.as_good(model, bound, plain.products)
    calls = {
        "plain": solves.plain,
        "preconditioned": lambda: solves.preconditioned(model, shift, fast.products),
        "build": solves.build,
    }
    times = interleaved(calls, rounds, communicator.device, warm_up=False)
    figures = _figures(name, solves, (eta, plain), (fast_eta, fast))
    sizes: Row = {"samples": options.samples, "parameters": len(eta)}
    kind: Row = {
        "kind": str(runner.preconditioner),
        "shift": shift,
        "reached": fast.status is Status.VALIDATION,
    }
    return figures | sizes | kind | _seconds(times) | {"ratio": plain.products / fast.products}


def _system_at(theta: Tensor, runner: PWGF) -> NormalEquations:
    map = runner.start().map.moved(theta)
    return runner.system(map, runner.samples(map, 0))


def _figures(
    name: str, solves: Solves,
    plain: tuple[Tensor, SolveStats], preconditioned: tuple[Tensor, SolveStats],
) -> Row:  # fmt: skip
    return {
        "case": name,
        "products_plain": plain[1].products,
        "products_preconditioned": preconditioned[1].products,
        "projection_error_plain": solves.projection_error(plain[0]),
        "projection_error_preconditioned": solves.projection_error(preconditioned[0]),
        "eta_norm_plain": float(plain[0].double().norm()),
        "eta_norm_preconditioned": float(preconditioned[0].double().norm()),
    }


def _seconds(times: dict[str, Times]) -> Row:
    return {f"seconds_{name}": each.median for name, each in times.items()}
