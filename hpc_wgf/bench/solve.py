"""One solve with and without a preconditioner, to the same projection error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from ..krylov import SolveStats, Watched, minres
from ..methods import PWGF, PWGFOptions
from ..methods.solver import MetricSolver
from ..methods.system import System
from ..metric import Preconditioner, Preconditioning, Subsample, build, wanted_samples
from ..named import named
from ..parallel import Communicator, tree_sum
from ..solve import solve as run
from .record import Row
from .timing import Times, interleaved

CASES = {"porous-5d": 100_000, "styblinski-tang-30d": None, "porous-2d": None, "porous-15d": None}
_FRACTION = 1 / 3  # of the problem's time, at which the system is made
_COARSE = ("method.rtol=1e-3", "output.every=1")  # what the state is reached with
_COARSE_SAMPLES = 2000
_TIGHT = 1e-9  # a tolerance that never ends a solve which is to be ended by its projection error


def rows(
    cases: Sequence[str], samples: int | None, settings: Sequence[str], rounds: int,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row a problem; `settings`: "a.b=value" for its run file."""
    return [_row(name, samples, settings, rounds, communicator) for name in cases]


def state_of(name: str, settings: Sequence[str], communicator: Communicator) -> Tensor:
    """θ, (p,), at a third of the problem's time, by a coarse run of few samples."""
    problem, _, method = named(name, *settings)
    until = problem.start_time + _FRACTION * (problem.until - problem.start_time)
    few = min(method.samples, _COARSE_SAMPLES)
    coarse = named(
        name, *settings, *_COARSE, f"problem.until={until!r}", f"method.samples={few}"
    )  # fmt: skip
    return run(*coarse, communicator=communicator).map.get_theta()


@dataclass(frozen=True)
class _Solves:
    """A system, and the two ways to solve it."""

    runner: PWGF
    options: PWGFOptions
    system: System

    def plain(self) -> tuple[Tensor, SolveStats]:
        options = replace(self.options, preconditioner=Preconditioning.NONE)
        solver = MetricSolver(self.runner.map, options, self.runner.communicator)
        return solver.solve(self.runner.map, self.system, None, None)[:2]

    def build(self) -> tuple[Preconditioner, float]:
        """The preconditioner of the method's own kind and shift, from its subsample; and ε."""
        map, system, communicator = self.runner.map, self.system, self.runner.communicator
        sample = Subsample.of(
            map, system.points, system.samples.sizes, wanted_samples(map), communicator
        )  # fmt: skip
        known = build(sample, self.runner.preconditioner, self.shift).known
        epsilon = self.shift * known.norm
        return known.shifted(epsilon, system.b.dtype), epsilon

    @property
    def shift(self) -> float:
        """ε/‖Ĝ‖ of the preconditioned solve."""
        solver = MetricSolver(self.runner.map, self.options, self.runner.communicator)
        return solver.first_shift()

    def preconditioned(
        self, built: tuple[Preconditioner, float], most: int, watched: Watched | None = None
    ) -> tuple[Tensor, SolveStats]:
        """At most so many products, the one that verifies the residual included."""
        preconditioner, epsilon = built
        return minres(
            self.system.gram, self.system.b, max_steps=most, shift=epsilon,
            rtol=max(_TIGHT, 10 * torch.finfo(self.system.b.dtype).eps),
            preconditioner=preconditioner, watched=watched,
            graph=self.runner.communicator.capturable,
        )  # fmt: skip

    def projection_error(self, eta: Tensor) -> float:
        """δ = E|Jη + f|² [PWGF (3.27)], in units of f²."""
        gram, forces = self.system.gram, self.system.forces
        pairs = zip(gram.leaves, forces, strict=True)
        sums = [(J.jvp(eta) + f).double().square().sum()[None] for J, f in pairs]
        return float(self.runner.communicator.sum(tree_sum(sums))) / self.system.total


class _UntilAsGood(Watched):
    """Ends an iteration at the first x whose projection error is not above a bound."""

    def __init__(self, solves: _Solves, bound: float) -> None:
        self._solves, self._bound = solves, bound

    def look(self, x: Tensor) -> Tensor | None:
        return x if self._solves.projection_error(x) <= self._bound else None


def _row(
    name: str, samples: int | None, settings: Sequence[str], rounds: int,
    communicator: Communicator,
) -> Row:  # fmt: skip
    problem, map, options = named(name, *settings)
    options = replace(options, samples=samples or CASES.get(name) or options.samples)
    runner = PWGF(problem, map, options, communicator, particles=max(64, communicator.size))
    if runner.preconditioner is Preconditioning.NONE:
        raise InputError(f"{name} asks for no preconditioner: there is nothing to compare")
    theta = state_of(name, settings, communicator)
    solves = _Solves(runner, options, runner.system(theta, runner.samples(0)))
    eta, plain = solves.plain()
    built = solves.build()
    watch = _UntilAsGood(solves, solves.projection_error(eta))
    fast_eta, fast = solves.preconditioned(built, max(2, plain.products), watch)
    calls = {
        "plain": solves.plain,
        "preconditioned": lambda: solves.preconditioned(built, max(2, fast.products)),
        "build": solves.build,
    }
    times = interleaved(calls, rounds, communicator.device, warm_up=False)
    figures = _figures(name, solves, (eta, plain), (fast_eta, fast))
    sizes: Row = {"samples": options.samples, "parameters": len(eta)}
    kind: Row = {"kind": str(runner.preconditioner), "shift": solves.shift}
    return figures | sizes | kind | _seconds(times) | {"ratio": plain.products / fast.products}


def _figures(
    name: str, solves: _Solves,
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
