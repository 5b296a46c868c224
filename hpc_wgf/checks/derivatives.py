"""Checks that what a user's object says of its derivatives is their derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..interactions import InteractionEnergy, Kernel
from ..problems import LocalEnergy, PotentialEnergy, Problem

_SAMPLES, _PARTICLES = 256, 48
_DIRECTIONS = 8
_WRONG = 0.01  # of the root mean square of a derivative


def check_derivatives(problem: Problem, cloud: Cloud) -> None:
    """The force of every part of the energy against its integrand, and the weight of every kernel
    against its values, at start samples: the first of `cloud`.

    Errors: `InputError` where they differ by more than 1 % in root mean square."""
    few = Cloud(cloud.x[:_SAMPLES], cloud.log_density[:_SAMPLES], cloud.score[:_SAMPLES])
    for part in problem.energy.parts:
        if isinstance(part, InteractionEnergy):
            if isinstance(part.kernel, Kernel):  # Torch differentiates those that are not radial.
                check_kernel(part.kernel, few.x[:_PARTICLES])
        else:
            check_force(part, few)


def check_force(part: LocalEnergy, cloud: Cloud) -> None:
    """f = ∇ψ along the flow's density, ψ = δF/δρ = φ + ∂φ/∂log ρ for F = E[φ(x, log ρ)]:

        f = ∂ψ/∂x + ∂ψ/∂log ρ ∇ log ρ,    for a potential f = ∇V.

    The derivatives are torch's. Where it cannot take them, or they are others, differences of V
    decide; parts that depend on the density are then left untested.

    Errors: `InputError` where the force is another."""
    given, derived = part.force(cloud).detach(), _derived_force(part, cloud)
    if derived is not None:
        wrong = _wrong_axis(given, derived)
        if wrong is None:
            return
    if part.needs_density:
        if derived is None:
            return
    elif not _differ(part, cloud.x, given):
        return
    raise InputError(_other_force(part, cloud.x, given, derived))


def _derived_force(part: LocalEnergy, cloud: Cloud) -> Tensor | None:
    """f by automatic differentiation, (n, d); None where torch cannot."""
    try:
        with torch.enable_grad():
            x = cloud.x.detach().clone().requires_grad_()
            log_density = cloud.log_density.detach().clone().requires_grad_()
            psi = part.integrand(x, log_density)
            if part.needs_density:
                (slope,) = torch.autograd.grad(
                    psi.sum(), log_density, create_graph=True, materialize_grads=True
                )
                psi = psi + slope
            of_x, of_density = torch.autograd.grad(
                psi.sum(), (x, log_density), materialize_grads=True
            )
    except RuntimeError:
        return None
    if not part.needs_density:
        return of_x
    return of_x + of_density[:, None] * cloud.score


def _rms(values: Tensor, dim: int | None = None) -> Tensor:
    return values.double().square().mean(dim).sqrt()


def _wrong_axis(given: Tensor, derived: Tensor) -> int | None:
    """The axis along which two forces differ most, None where they agree along all of them. Samples
    at which either is not finite, as at the edge of a support, do not count."""
    finite = (given.isfinite() & derived.isfinite()).all(1)
    given, derived = given[finite], derived[finite]
    if not len(given):
        return None
    apart = _rms(given - derived, 0)
    rounding = torch.finfo(given.dtype).eps ** 0.5 * torch.maximum(_rms(given), _rms(derived))
    beyond = apart - _WRONG * torch.maximum(_rms(given, 0), _rms(derived, 0)) - rounding
    return int(beyond.argmax()) if bool((beyond > 0).any()) else None


@torch.no_grad()
def _differ(part: LocalEnergy, x: Tensor, given: Tensor) -> bool:
    """Whether f·u is another than the central differences of V along random directions u."""
    generator = torch.Generator().manual_seed(0)
    precision = torch.finfo(x.dtype).eps
    step = precision ** (1 / 3) * float(_rms(x - x.mean(0))) or precision ** (1 / 3)
    apart, expected, size = [], [], x.new_zeros((), dtype=torch.float64)
    for _ in range(_DIRECTIONS):
        u = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        after, before = (part.integrand(x + s * u, x[:, 0]).double() for s in (step, -step))
        slope = (after - before) / (2 * step)
        apart.append((given * u).double().sum(1) - slope)
        expected.append(slope)
        size = torch.maximum(size, after.abs().max())
    rounding = 4 * precision / step * size
    return bool(_rms(torch.cat(apart)) > _WRONG * _rms(torch.cat(expected)) + rounding)


def _other_force(part: LocalEnergy, x: Tensor, given: Tensor, derived: Tensor | None) -> str:
    what = f"the force of {part} is not ∇ δF/δρ of its integrand"
    remedy = "correct one of them"
    if isinstance(part, PotentialEnergy):
        what = f"the gradient of the potential {part.potential} is not that of its values"
        remedy = "correct gradient(x), or leave it out: torch differentiates the values"
    if derived is None:
        return f"{what}, as their differences show: {remedy}"
    axis = _wrong_axis(given, derived)
    assert axis is not None
    off = _rms((given - derived)[:, axis]) / _rms(derived[:, axis]).clamp(min=1e-300)
    k = int((given - derived)[:, axis].abs().nan_to_num().argmax())
    return (
        f"{what}: along axis {axis} it is off by {float(off):.0%} in root mean square over "
        f"{len(x)} start samples, and at x = {[round(value, 4) for value in x[k].tolist()[:6]]} it "
        f"is {float(given[k, axis]):.4g} in place of {float(derived[k, axis]):.4g}: {remedy}"
    )


@torch.no_grad()
def check_kernel(kernel: Kernel, x: Tensor) -> None:
    """2 j'(|x|²) against differences of j, and the coefficients of even powers, at the squared
    distances of samples x, (n, d).

    Errors: `InputError` where they differ by more than 1 % in root mean square of the force."""
    x = x.double().cpu()
    apart = x[:, None] - x[None, :]
    square = apart.square().sum(-1)[torch.ones(len(x), len(x)).triu(1).bool()]
    square = square[square > 0]
    if not len(square):
        return
    weight, distance = kernel.weight(square), square.sqrt()
    precision = torch.finfo(square.dtype).eps
    step = precision ** (1 / 3) * square
    after, before = kernel.value(square + step), kernel.value(square - step)
    derived = (after - before) / step  # 2 j', as the difference is over 2 · step
    rounding = _rms(2 * precision * after.abs() / step * distance)
    _refuse_weight(kernel, weight, derived, distance, float(rounding), "its values")
    if (powers := kernel.even_powers()) is not None:
        of_powers = sum(
            (c * q * square.pow(0.5 * q - 1) for q, c in powers.items()), torch.zeros_like(square)
        )
        _refuse_weight(kernel, weight, of_powers, distance, 0.0, "its even_powers")


def _refuse_weight(
    kernel: Kernel, weight: Tensor, expected: Tensor, distance: Tensor, rounding: float, of: str
) -> None:
    off, size = _rms((weight - expected) * distance), _rms(expected * distance)
    if bool(off > _WRONG * size + rounding):
        k = int(((weight - expected) * distance).abs().argmax())
        raise InputError(
            f"the weight of the kernel {kernel} is not 2 j'(|x|²) of {of}: off by "
            f"{float(off / size.clamp(min=1e-300)):.0%} in root mean square, and at "
            f"|x| = {float(distance[k]):.4g} it is {float(weight[k]):.4g} in place of "
            f"{float(expected[k]):.4g}: correct one of them, or give UserKernel(j, name), which "
            "torch differentiates"
        )
