"""What PWGF wants to be tried before a run: its first samples, the units of x, the force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ...checks import check_virial
from ...choices import Form, InnerProduct, Metric
from ...cloud import Cloud
from ...errors import InputError
from ...gradients import basis_size, told_of_size
from ...integrators import SCHEMES
from ...maps import MapState, PushForward, SoftmaxGates
from ...problems import Density, Problem, is_known, jump_of, without_pressure
from ..sample_checks import check_first_samples, check_samples, check_weights
from .options import PWGFOptions

_LEAST = {torch.float64: 1e-14, torch.float32: 1e-10}  # where preconditioned solves still hold
_OF_RTOL = 0.01  # where plain ones do, whose tolerance is all that they resolve


def checks(
    problem: Problem, options: PWGFOptions, map: MapState,
    first_samples: Callable[[], Sequence[Cloud]], *, reciprocal_condition: float, plain: bool,
    proposal: Density | None,
) -> Sequence[Callable[[], None]]:  # fmt: skip
    """In the order in which they are best made. `first_samples`: those of the first step.
    `reciprocal_condition`: of the start density (see `units`). `plain`: whether solves are without
    a preconditioner. `proposal`: what samples are drawn from in place of the start density."""
    found: list[Callable[[], None]] = [
        lambda: check_features(problem, map.map, options),
        lambda: check_first_samples(problem, options.samples, map, first_samples()),
        lambda: check_weights(first_samples()),
        lambda: check_units(problem.start, options, reciprocal_condition, plain=plain),
    ]
    if options.form is Form.FORCE:
        found.append(partial(check_virial, problem, options.samples, proposal=proposal))
    return found


def check_options(problem: Problem, options: PWGFOptions, particles: int) -> None:
    """Errors: `InputError` where the samples, the scheme or the form of the options do not fit the
    problem, or the `particles` of the evaluation sample do not."""
    check_metric(problem, options)
    jump = jump_of(problem.start)
    at_a_jump = jump is not None and problem.energy.needs_density
    if at_a_jump and options.form is Form.FORCE:
        raise InputError(
            f"{jump}, and there the force of a density-dependent energy is concentrated where "
            "no sample sits: the force form would not move it. Smooth the jump (a box: "
            'ramp = 0.1, say), or use method.form = "weak" or "energy"'
        )
    if options.form is Form.FORCE and problem.energy.needs_density and not is_known(problem.start):
        raise InputError(
            "the force of an entropy needs the score ∇ log λ of the start density, and samples "
            'alone do not tell it: use method.form = "weak" or "energy", or fit a density by '
            'start.density = "fitted"'
        )
    plain = problem.inner_product is InnerProduct.PLAIN and problem.mobility is not None
    if plain and options.form is Form.ENERGY and problem.energy.needs_density:
        raise InputError(
            "the energy form knows ∇F, and the plain inner product of a mobility asks for E[JᵀPf]: "
            'use problem.mobility.inner_product = "natural", or method.form = "force"'
        )
    if plain and SCHEMES[options.scheme].implicit:
        raise InputError(
            f"scheme {options.scheme} takes the derivative of the velocity from the curvature of "
            "the energy, and the plain inner product of a mobility has none: use "
            'problem.mobility.inner_product = "natural", or another scheme (rkc2 for stiff flows)'
        )
    check_samples(problem, options, particles)


def check_metric(problem: Problem, options: PWGFOptions) -> None:
    """Errors: `InputError` where the metric and the form of the options are not known for the
    problem, and where their functions are too many or too few."""
    d, samples = problem.dimension, options.samples
    projects = options.tells_gradient_error
    called = f'metric = "{options.metric}"'
    if options.metric is Metric.PULLBACK:
        called = 'form = "weak"' if options.form is Form.WEAK else "gradient_error"
    if not projects and options.metric is Metric.PULLBACK:
        return
    if problem.mobility is not None:
        raise InputError(
            f"{called} is known for the mobility P = I alone: leave method.{called} out, or the "
            "mobility"
        )
    if projects and problem.periods is not None:
        raise InputError(
            f"{called} needs functions whose gradients are periodic, and has those of the plane: "
            f"leave method.{called} out on circles"
        )
    if options.metric is Metric.FLAT and problem.drift is not None:
        raise InputError(f"{called} follows −∇F alone, and a drift is none: leave one of them out")
    if options.form is Form.WEAK and (unknown := without_pressure(problem.energy)):
        raise InputError(
            f'form = "weak" knows the pressures of entropy and internal energies, and none of '
            f'{unknown[0]}: use method.form = "force" or "energy"'
        )
    wrong = told_of_size(basis_size(options.functions, samples, d), samples, d)
    if projects and wrong:
        raise InputError(f"{wrong} (method.functions), or more samples")


def told_of_form(problem: Problem, options: PWGFOptions) -> Sequence[str]:
    """What a user should know of the form before a run that is not refused."""
    needless = jump_of(problem.start) is None and is_known(problem.start)
    if options.form is not Form.WEAK or not needless:
        return ()
    return (
        'form = "weak" fits the noise of the samples; the start density is known and has no jump, '
        'so that method.form = "force" is more accurate',
    )


def check_features(problem: Problem, map: PushForward, options: PWGFOptions) -> None:
    """Errors: `InputError` where direct solves are to find more features than there are samples,
    and where gates are more than these."""
    sizes = map.features_and_coordinates()
    direct = options.solves_directly(map, coupled=problem.couples_coordinates)
    if sizes is not None and direct and options.samples < sizes[0]:
        raise InputError(
            f"{options.samples} samples cannot tell {sizes[0]} features of the map apart: take "
            "more samples (method.samples), a few times as many at least, or fewer features"
        )
    for part in map.modules():
        if isinstance(part, SoftmaxGates) and part.gates > options.samples:
            raise InputError(
                f"{options.samples} samples cannot tell {part.gates} gates of a softmax map apart: "
                "take more samples (method.samples), a few times as many at least, or fewer centres"
            )


def check_units(
    start: Density, options: PWGFOptions, reciprocal_condition: float, *, plain: bool
) -> None:
    """Whether solves resolve an affine motion of the start density. A shift that is given in the
    options is taken as meant.

    Errors: `InputError` where units and origin of x are so far from the start density that they
    cannot."""
    if options.shift is not None or options.metric is Metric.FLAT:
        return
    least = _OF_RTOL * options.rtol if plain else _LEAST[options.torch_dtype]
    if reciprocal_condition >= least:
        return
    otherwise = ""
    if plain:
        rtol = 100 * reciprocal_condition
        otherwise = f"take method.rtol = {rtol:.1g} or another preconditioner, "
    raise InputError(
        f"from here the start density {start} looks like a point or a plane: its mean and spread "
        f"leave eigenvalues of 1 and {reciprocal_condition:.1e} to the metric of an affine map, "
        f"and solves of {'rtol' if plain else 'this precision'} resolve {least:.1e}. Move the "
        f"origin to its mean and take its spread for the unit of length, {otherwise}or set "
        "method.shift to run nevertheless"
    )
