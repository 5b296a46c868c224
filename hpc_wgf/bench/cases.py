"""Maps whose products with Ĝ are timed, and their linear systems as PWGF assembles them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..maps import BlockFlow, PlanarFlow, PushForward, ResidualPerceptron
from ..methods.pwgf import PWGF, PWGFOptions
from ..methods.pwgf.normal_equations import NormalEquations
from ..parallel import Communicator
from ..problems import Gaussian, PotentialEnergy, Problem, Quadratic


@dataclass(frozen=True)
class Case:
    """A map and the samples on which its product with Ĝ is timed."""

    dimension: int
    """Dimension d of the samples."""
    samples: int
    """Number n of samples, unless another is asked for."""
    make: Callable[[int], PushForward]
    """Makes the map from d."""


CASES = {
    "perceptron-3x256-d30": Case(30, 8_000, lambda d: ResidualPerceptron(d, (256, 256, 256))),
    "perceptron-2x50-d2": Case(2, 10_000, lambda d: ResidualPerceptron(d, (50, 50))),
    "block-256-d30": Case(30, 10_000, lambda d: BlockFlow(d, 256)),
    "planar-40-d2": Case(2, 12_000, lambda d: PlanarFlow(d, 40)),
    "block-448-d5": Case(5, 10_000, lambda d: BlockFlow(d, 448)),
}
"""All cases by name."""


def case_named(name: str) -> Case:
    """The case of that name. Errors: `InputError` with the known names."""
    if name not in CASES:
        raise InputError(f"there is no case {name!r}: choose from {', '.join(CASES)}")
    return CASES[name]


def assembled(
    case: Case, samples: int, dtype: torch.dtype, communicator: Communicator
) -> tuple[PushForward, NormalEquations]:
    """The map of a case and its system Ĝη = −∇F on `samples` Gaussian samples; collective.

    Noise is added to the parameters, since some weights are 0 at the start. The energy is a
    quadratic potential, which costs next to nothing.
    """
    d = case.dimension
    problem = Problem([PotentialEnergy(Quadratic(d))], Gaussian(d), until=1.0)
    options = PWGFOptions(samples=samples, dtype=dtype, rtol=1e-4)
    particles = 64 * communicator.size
    runner = PWGF.on(problem, case.make(d), options, communicator, particles=particles)
    map = runner.start().map
    noise = torch.randn(len(map.theta), generator=torch.Generator().manual_seed(0))
    moved = map.moved(map.theta + 0.1 * noise.to(map.theta))
    return map.map, runner.system(moved, runner.samples(map, 0))
