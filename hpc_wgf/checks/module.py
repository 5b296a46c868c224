"""Checks of a torch module of a user: it must be a function of its sample and its parameters, and
torch must differentiate it rightly."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import jvp

from ..errors import InputError
from ..maps import ModuleMap, PushForward
from ..maps.module import cannot_be_evaluated
from ..user_code import CHANGES_ITS_SAMPLES, called, said
from .differences import refuse_other_derivative
from .map import not_differentiable

_FEW = 8  # samples at which derivatives are compared with differences


def check_effects(map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if a user's module in `map`, evaluated at z, (n, d), changes z or its
    buffers, or keeps results."""
    for module in _modules(map):
        _check_effects(module.module, z)


def check_module(map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if torch finds other derivatives of a user's module in `map` than its
    values tell. z: samples, (n, d), of which the first 8 are used."""
    for module in _modules(map):
        try:
            _check_derivatives(module, z[:_FEW])
        except InputError:
            raise
        except Exception as error:
            raise not_differentiable(error) from error


def copied(map: PushForward) -> PushForward:
    """A copy of `map` that shares nothing with it. Errors: `InputError` where there can be none."""
    _refuse_kept(map)
    try:
        return copy.deepcopy(map)
    except Exception as error:
        raise InputError(
            f"the map cannot be copied, as a run needs it: {said(error)}. Keep "
            "only parameters, buffers and plain values on the module"
        ) from error


def _modules(map: PushForward) -> list[ModuleMap]:
    return [part for part in map.modules() if isinstance(part, ModuleMap)]


def _refuse_kept(module: nn.Module) -> None:
    """Errors: `InputError` where `module` holds tensors that were computed from others, beside its
    parameters and buffers."""
    kept = [
        f"{place}.{name}".lstrip(".")
        for place, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, Tensor) and value.grad_fn is not None
    ]
    if kept:
        raise InputError(
            f"the module keeps results of its own evaluation ({', '.join(kept)}), so that it "
            "cannot be copied: keep no tensors on self; where the old weight_norm or spectral_norm "
            "of torch.nn.utils does it, take it off (remove_weight_norm, remove_spectral_norm)"
        )


def _check_effects(module: nn.Module, z: Tensor) -> None:
    """Evaluates `module` itself, as its user would, at a copy of `z`."""
    before = {name: value.detach().clone() for name, value in module.named_buffers()}
    given = z.clone()
    try:
        with torch.enable_grad():
            called("the module", module, given)
    except Exception as error:
        raise cannot_be_evaluated(z, error) from error
    if not torch.equal(given, z):
        raise InputError(f"the module {CHANGES_ITS_SAMPLES}, and no inplace=True at the input")
    _refuse_kept(module)
    changed = [
        name
        for name, value in module.named_buffers()
        if name not in before or not torch.equal(value, before[name])
    ]
    if changed:
        raise InputError(
            f"the module changes its buffers ({', '.join(changed)}) when it is evaluated, so that "
            "it is another map each time: call eval() on the module"
        )


@torch.no_grad()
def _check_derivatives(map: ModuleMap, z: Tensor) -> None:
    """J v and ∇T w in a random direction each, against central differences, at perturbed
    parameters."""
    random = torch.Generator().manual_seed(0)
    theta = map.get_theta()

    def drawn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=random).to(like)

    at, v, w = theta + 0.1 * drawn(theta), drawn(theta), drawn(z)
    try:
        in_theta = map.at(at).linearize(z).jvp(v)
        in_z = jvp(map, (z,), (w,))[1]
        for what, derivative, moved in (
            ("its parameters", in_theta, lambda h: map.at(at + h * v)(z)),
            ("its samples", in_z, lambda h: map.at(at)(z + h * w)),
        ):
            refuse_other_derivative(f"the module's derivative with respect to {what}",
                                    derivative, moved)  # fmt: skip
    finally:
        map.at(theta)
