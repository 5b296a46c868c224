"""Seconds of a step over the number of samples and over the dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from ..choices import Features
from ..config import load_problem
from ..maps import Affine, BlockFlow, Composition, NeuralODE
from ..maps.features import FeatureOptions
from ..methods.pwgf import PWGF, PWGFOptions
from ..parallel import Communicator
from ..problems import Energy, Entropy, Gaussian, PotentialEnergy, Problem, StyblinskiTang
from ..profiling.machine import peak_mebibytes
from .cli_options import with_samples
from .pwgf_problem import pwgf_problem
from .record import Row
from .steps import Steps

_EVALUATED = 1024  # size of the evaluation sample, which steps alone do not use
_BLOCK = "block"
_OWN = "affine + block"


def over_samples(
    samples: Sequence[int], width: int, rounds: int, communicator: Communicator
) -> list[Row]:
    """One row for each number of samples: porous-5d, an affine map and a block of that width."""
    problem, _, options = load_problem("porous-5d", "method.scheme=heun", "method.tolerance=none")

    def runner(n: int) -> PWGF:
        map = Composition(Affine(5), BlockFlow(5, width, scale=1.0, spread=1.0))
        chosen = PWGFOptions(samples=n, rtol=options.rtol, scheme="heun", step_size=0.01)
        return PWGF.on(problem, map, chosen, communicator, particles=_EVALUATED)

    return _rows("samples", samples, {"affine + block": runner}, rounds)


def over_dimension(
    dimensions: Sequence[int], samples: int, width: int, rounds: int, communicator: Communicator,
    maps: Sequence[str] = (_BLOCK,),
) -> list[Row]:  # fmt: skip
    """One row for each of the `maps`, a block or a neural ODE (without a linear part), and each
    dimension: the separable Styblinski–Tang flow, a fixed width."""

    def runner(kind: str, d: int) -> PWGF:
        energy: list[Energy] = [PotentialEnergy(StyblinskiTang()), Entropy(1.0)]
        options: FeatureOptions = {"features": Features.AXIS, "spread": 3.5}
        map = (
            BlockFlow(d, width, **options)
            if kind == _BLOCK
            else NeuralODE(d, width, linear=False, **options)
        )
        chosen = PWGFOptions(samples=samples, rtol=1e-3, scheme="heun", step_size=0.005)
        problem = Problem(energy, Gaussian(d), until=0.6)
        return PWGF.on(problem, map, chosen, communicator, particles=_EVALUATED)

    runners = {kind: partial(runner, kind) for kind in dict.fromkeys(maps)}
    return _rows("dimension", dimensions, runners, rounds)


def of_problem(
    name: str, dimensions: Sequence[int], samples: int | None, width: int, rounds: int,
    communicator: Communicator,
) -> list[Row]:  # fmt: skip
    """One row for each dimension of a named problem: an affine map, and a block of that width
    unless it is 0, by steps of fixed size. Errors: `InputError` where the dimension cannot be
    chosen."""
    block = f', {{kind="block", width={width}}}' if width else ""
    settings = with_samples([f'map=[{{kind="affine"}}{block}]', "method.tolerance=none"], samples)

    def runner(d: int) -> PWGF:
        problem, map, options = pwgf_problem(name, f"problem.dimension={d}", *settings)
        return PWGF.on(problem, map, options, communicator, particles=_EVALUATED)

    return _rows("dimension", dimensions, {_OWN if width else "affine": runner}, rounds)


def _rows(
    over: str, values: Sequence[int], runners: Mapping[str, Callable[[int], PWGF]], rounds: int
) -> list[Row]:
    """Rows of steps that are timed in turn, by map and by value in rising order.

    The peak of memory is read after the first step of each value, and so is not that of a larger.
    """
    values = sorted(values)
    steps: dict[str, list[Steps]] = {name: [] for name in runners}
    peaks: dict[str, list[float]] = {name: [] for name in runners}
    for value in values:
        for name, runner in runners.items():
            steps[name].append(Steps(runner(value)))
            steps[name][-1].warm_up()
            peaks[name].append(peak_mebibytes())
    for _ in range(rounds):
        for in_turn in zip(*steps.values(), strict=True):
            for each in in_turn:
                each.measure()
    found = []
    for name, own in steps.items():
        exponent = growth_exponent(values, [each.times.median for each in own])
        found += [
            {**_row(over, value, each, peak, exponent), "map": name}
            for value, each, peak in zip(values, own, peaks[name], strict=True)
        ]
    return found


def _row(over: str, value: int, steps: Steps, peak: float, exponent: float) -> Row:
    return {
        "over": over,
        "value": value,
        "seconds": steps.times.median,
        "exponent": exponent,
        "ratio": None,
        "peak_mebibytes": peak,
        "samples": steps.runner.options.samples,
        "parameters": steps.runner.setting.map.parameter_count(),
        "products": float(np.median(steps.products)),
        "products_a_solve": sum(steps.products) / max(1, sum(steps.solves)),
        "cpu_seconds": steps.cpu_times.median,
        "seconds_a_product": steps.times.median / max(1.0, float(np.median(steps.products))),
    }


def growth_exponent(values: Sequence[int], seconds: Sequence[float]) -> float:
    """α of seconds ∝ valueᵅ by least squares of the logarithms; not-a-number for one value."""
    if len(set(values)) < 2:
        return math.nan
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])
