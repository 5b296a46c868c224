"""The primal–dual method against exact steps of the JKO scheme, which it approximates [VWGF]."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..columns import STEP_PREFIX
from ..config import load_problem
from ..errors import InputError
from ..maps import MapState
from ..methods.primal_dual import PrimalDualOptions
from ..observers import MemoryRecorder
from ..output import Output
from ..parallel import Communicator
from ..problems import Barenblatt, Quadratic
from ..references.jko import gaussian_step, quantile_step
from ..solution import Solution, solve
from .record import Row

PROBLEMS = ("ou-scaling", "porous-1d")
"""Those of which exact steps are known."""
_CELLS = 4000  # between quantiles
# [VWGF D.2] and [VWGF D.3], whose horizon is not printed.
_OU = ("method.kind=primal-dual", "method.samples=1000", "method.step=0.05")
_POROUS = (
    "problem.dimension=1", "problem.start.m=2", "problem.start.time=0.002",
    "problem.start_time=0.002", "problem.until=0.022", "problem.energy.0.m=2",
    "method.kind=primal-dual", "method.samples=2000", "method.step=0.01", "method.width=16",
    "method.iterations=600", "method.learning_rate=0.01",
)  # fmt: skip


class _Run(NamedTuple):
    problem: Any
    method: PrimalDualOptions
    solution: Solution
    sizes: Sequence[float]
    """Of the steps."""
    common: Row


def rows(
    problems: Sequence[str], dimensions: Sequence[int], seeds: Sequence[int],
    settings: Sequence[str], communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each problem, all by default: of `ou-scaling` for each dimension and each seed of
    its matrix; and of `porous-1d`, the porous medium equation on the line, m = 2, from the profile
    at t = .002. `settings`: further ones of the run file. Errors: `InputError` for other
    problems."""
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not key.startswith("method.") and key != "problem.until":
            raise InputError(
                f"--set {setting}: exact steps are known of the problems as they are, so that "
                "options of the method and problem.until alone can be changed"
            )
    found: list[Row] = []
    for name in problems or PROBLEMS:
        if name not in PROBLEMS:
            raise InputError(
                f"no exact JKO steps are known of {name!r}: give {' or '.join(PROBLEMS)}"
            )
        if name == "porous-1d":
            found.append(_porous(settings, communicator))
            continue
        found += [
            _ornstein_uhlenbeck(dimension, seed, settings, communicator)
            for dimension in dimensions
            for seed in seeds
        ]
    return found


def symmetric_kl(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> float:
    """KL(P‖Q) + KL(Q‖P) of two Gaussians, each given by its mean (d,) and covariance (d, d)."""
    (m, C), (n, D) = first, second
    inverse = np.linalg.inv(C), np.linalg.inv(D)
    apart = (m - n) @ (inverse[0] + inverse[1]) @ (m - n)
    return 0.5 * float(np.trace(inverse[1] @ C) + np.trace(inverse[0] @ D) - 2 * len(m) + apart)


def _ornstein_uhlenbeck(
    dimension: int, seed: int, settings: Sequence[str], communicator: Communicator
) -> Row:
    own = (f"problem.dimension={dimension}", f"problem.energy.0.seed={seed}")
    run = _run("ou-scaling", [*_OU, *own, *settings], communicator)
    potential = run.problem.energy.potential()
    assert isinstance(potential, Quadratic)
    centre, stiffness = (each.double().numpy() for each in (potential.mean, potential.precision))
    rates, axes = np.linalg.eigh(stiffness)
    time = run.problem.until - run.problem.start_time
    decay = np.exp(-rates * time)
    flow = decay, (1 - decay**2) / rates + decay**2
    deviations, factor = np.ones(dimension), np.ones(dimension)
    for tau in run.sizes:
        deviations, shrunk = gaussian_step(deviations, rates, 1.0, tau)
        factor = factor * shrunk

    def law(factor: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = centre - axes @ (factor * (axes.T @ centre))
        return mean, axes @ np.diag(variances) @ axes.T

    exact, scheme = law(*flow), law(factor, deviations**2)
    found = _affine_law(run.solution.state, dimension)
    ours, own_error = symmetric_kl(found, exact), symmetric_kl(scheme, exact)
    return {
        "problem": "ou-scaling", "dimension": dimension, "seed": seed, "error": ours,
        "error_jko": own_error, "ratio": ours / own_error,
        "to_jko": symmetric_kl(found, scheme), **run.common,
    }  # fmt: skip


def _affine_law(map: MapState, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the image of N(0, I) under a map that is affine."""
    points = torch.cat([torch.zeros(1, dimension), torch.eye(dimension)]).to(map.theta)
    images = map(points).double().cpu().numpy()
    matrix = (images[1:] - images[0]).T
    return images[0], matrix @ matrix.T


def _porous(settings: Sequence[str], communicator: Communicator) -> Row:
    run = _run("porous-2d", [*_POROUS, *settings], communicator)
    start = run.problem.start
    assert isinstance(start, Barenblatt)
    # The distribution function of the profile, ¼(2 + 3u − u³) of u = x/R, is solved for u.
    masses = np.arange(_CELLS + 1) / _CELLS
    x = start.radius * 2 * np.sin(np.arcsin(2 * masses - 1) / 3)
    after = x
    for tau in run.sizes:
        after = quantile_step(after, 2.0, 1.0, tau)
    images = run.solution.state(torch.from_numpy(x)[:, None])[:, 0].double().cpu().numpy()
    flow = x * (run.problem.until / run.problem.start_time) ** (1 / 3)

    def distance(other: np.ndarray) -> float:
        """(E|x − x'|²)^½ over that of x', which on the line is the distance W₂."""
        return float((((other - after) ** 2).mean() / (after**2).mean()) ** 0.5)

    return {
        "problem": "porous-1d", "dimension": 1, "seed": 0, "error": None,
        "error_jko": distance(flow), "ratio": None, "to_jko": distance(images), **run.common,
    }  # fmt: skip


def _run(name: str, settings: Sequence[str], communicator: Communicator) -> _Run:
    """Errors: `InputError` where the settings choose another method, or change what the exact
    steps are of."""
    spec = load_problem(name, *settings)
    if not isinstance(spec.method, PrimalDualOptions):
        raise InputError(
            f"this benchmark is of the method primal-dual, and the settings choose "
            f"{spec.method.kind}: leave method.kind out"
        )
    memory, begun = MemoryRecorder(), time.perf_counter()
    solution = solve(
        spec.problem, spec.map, spec.method, Output(every=spec.method.step_size, particles=1000),
        communicator=communicator, observers=[memory],
    )  # fmt: skip
    columns = memory.columns()
    gaps, errors, sizes = (
        columns[STEP_PREFIX + name].tolist() for name in ("gap", "gap_error", "size")
    )
    in_errors = [gap / max(error, 1e-300) for gap, error in zip(gaps, errors, strict=True)]
    return _Run(spec.problem, spec.method, solution, sizes, {
        "steps": len(gaps), "gap": gaps[-1], "gap_error": errors[-1],
        "least_gap_in_errors": min(in_errors),
        "parameters": spec.map.parameter_count(), "seconds": time.perf_counter() - begun,
    })  # fmt: skip
