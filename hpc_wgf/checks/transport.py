"""Checks that a map's volumes, scores and linearisations are those of its images."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..maps import PushForward, Transported

_SAMPLES, _DIRECTIONS = 8, 4
_LARGEST = 64  # dimension up to which whole Jacobians ∇T are differenced
_STEP = torch.finfo(torch.float64).eps ** (1 / 3)
_WRONG = 0.01
_PACKAGE = __name__.split(".")[0]


def check_transport(map: PushForward, cloud: Cloud) -> None:
    """`check_own` for a map with parts that are not of this package, in double precision. One that
    cannot be computed so is left untested.

    Errors: `InputError` from `check_own`."""
    parts = (part for part in map.modules() if isinstance(part, PushForward))
    if all(type(part).__module__.split(".")[0] == _PACKAGE for part in parts):
        return
    z, score = cloud.x[:_SAMPLES].double(), cloud.score[:_SAMPLES].double()
    try:
        check_own(copy.deepcopy(map).double(), z, score)
    except InputError:
        raise
    except Exception:
        return


@torch.no_grad()
def check_own(map: PushForward, z: Tensor, score: Tensor) -> None:
    """Central differences of T, at parameters that are perturbed and stay so, against what the map
    says of log|det ∇T|, of the score s' at T(z), and of J = ∂T/∂θ:

        s'·∂_u T = s·u − ∂_u log|det ∇T|,   J v = ∂_v T,   w·J v = v·Jᵀw,

    for random directions. `z`, `score`: samples and the score s at them, (n, d) each, in double
    precision. Determinants are tested up to 64 dimensions.

    Errors: `InputError` where they differ by more than 1 % for half of the samples."""
    random = torch.Generator().manual_seed(0)

    def directions(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(z)

    theta = map.get_theta()
    map.at(theta + 0.1 * directions(*theta.shape))
    _check_volume(map, z)
    for _ in range(_DIRECTIONS):
        _check_score(map, z, score, directions(*z.shape))
        _check_linearization(map, z, directions(*theta.shape), directions(*z.shape))


def _between(after: Tensor, before: Tensor) -> Tensor:
    return (after - before) / (2 * _STEP)


def _check_volume(map: PushForward, z: Tensor) -> None:
    n, d = z.shape
    if d > _LARGEST:
        return
    moved = _STEP * torch.eye(d, dtype=z.dtype, device=z.device)
    after, before = (map((z[:, None] + sign * moved).reshape(-1, d)) for sign in (1, -1))
    _, log_det = torch.linalg.slogdet(_between(after, before).view(n, d, d))
    found = map.transport(z).log_det
    _refuse(found - log_det, torch.ones_like(found), "log|det ∇T|")


def _check_score(map: PushForward, z: Tensor, score: Tensor, u: Tensor) -> None:
    after: Transported = map.transport(z + _STEP * u)
    before = map.transport(z - _STEP * u)
    carried = map.transport(z, score).score
    if carried is None or not bool(score.isfinite().all()):
        return
    stretched = _between(after.x, before.x)
    bent = _between(after.log_det, before.log_det)
    apart = (carried * stretched).sum(1) - (score * u).sum(1) + bent
    size = carried.norm(dim=1) * stretched.norm(dim=1) + (score * u).sum(1).abs() + bent.abs()
    _refuse(apart, size, "the score that it transports")


def _check_linearization(map: PushForward, z: Tensor, v: Tensor, w: Tensor) -> None:
    theta, jacobian = map.get_theta(), map.linearize(z)
    moved, back = jacobian.jvp(v).clone(), jacobian.vjp(w)[0].clone()
    after, before = (map.at(theta + sign * _STEP * v)(z) for sign in (1, -1))
    map.at(theta)
    expected = _between(after, before)
    _refuse((moved - expected).norm(dim=1), expected.norm(dim=1), "its product J v, J = ∂T/∂θ,")
    apart = ((w * moved).sum() - (back * v).sum())[None]
    _refuse(apart, (w.norm() * moved.norm())[None], "its product Jᵀw, J = ∂T/∂θ,")


def _refuse(apart: Tensor, size: Tensor, what: str) -> None:
    """Errors: `InputError` if half of the differences are above 1 % of their `size`."""
    off = apart.abs() / size.clamp(min=1e-300)
    if float(off.nan_to_num(0.0).median()) > _WRONG:
        raise InputError(
            f"the map's own derivatives are not those of its images: {what} is off by "
            f"{float(off.median()):.0%} at perturbed parameters. Correct transport and linearizer, "
            "or give the module as ModuleMap(dimension, module), which torch differentiates"
        )
