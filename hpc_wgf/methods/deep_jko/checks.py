"""What is refused before a run of Deep JKO, and what is warned of."""

from __future__ import annotations

from ...choices import InnerProduct, VelocityKind
from ...errors import InputError
from ...problems import Problem, is_known
from ..sample_checks import check_samples
from .options import DeepJKOOptions


def check_options(problem: Problem, options: DeepJKOOptions, particles: int) -> None:
    """Errors: `InputError` for what Deep JKO cannot carry out."""
    check_samples(problem, options, particles)
    if problem.drift is not None:
        raise InputError(
            "the steps of deep-jko minimise an energy, and problem.drift has none: give it as a "
            'potential, or use method.kind = "pwgf" or "implicit"'
        )
    if problem.inner_product is InnerProduct.PLAIN and problem.mobility is not None:
        raise InputError(
            "deep-jko weighs velocities by the inverse of the mobility, as its natural inner "
            'product does: use problem.mobility.inner_product = "natural", or method.kind = "pwgf"'
        )
    if problem.periods is not None:
        raise InputError(
            "the velocity networks of deep-jko are not periodic, and problem.periods are given: "
            'use method.kind = "pwgf" or "implicit"'
        )
    if problem.needs_density and not is_known(problem.start):
        raise InputError(
            "deep-jko carries log ρ along the particles, and samples alone do not tell it at the "
            'start: fit a density by start.density = "fitted"'
        )


def mobility_warnings(problem: Problem, options: DeepJKOOptions) -> list[str]:
    """Where the best velocity is no gradient, as the network's is."""
    if problem.mobility is None or problem.dimension == 1:
        return []
    if options.velocity is VelocityKind.BLOCK:
        return []
    return [
        f'method.velocity = "{options.velocity.value}" moves along gradients, and with a mobility '
        "the best velocity is none, in general: the step is found among gradients only. "
        'method.velocity = "block" is not restricted so'
    ]
