"""Preimages z = T⁻¹(x) under a map of a run, with an estimate of their error.

The parts of the composition are inverted one after another, from the last to the first: those
that are affine, and those that are monotone functions of one variable, by themselves (axis
splines, radial maps, planar layers, and any map of the line), or have an inverse of their own
(coupling layers, neural ODEs); all others by damped Newton steps,
from the image first and then from those of `SEEDS` start samples whose images are nearest. Newton
steps for the whole composition end it. The last of these steps is the estimate of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maps import (
    Affine,
    AxisSpline,
    Composition,
    NeuralODE,
    PlanarFlow,
    PushForward,
    RadialFlow,
    RealNVP,
)
from ..maps.real_nvp import CouplingLayer
from ..maps.scaling import Scaling
from .monotone import solve_increasing

SEEDS = 2048
"""Start samples from whose images a search begins anew where it has failed."""
TOLERANCE = 1e-9
"""The largest error of a preimage that counts as found, over 1 + |z|."""
_NEWTON, _POLISH, _HALVINGS, _ANEW = 60, 4, 24, 4
_CHUNK = 4096  # points that are inverted together


@dataclass(frozen=True)
class Preimage:
    """Points z with T(z) = x."""

    z: Tensor
    """(n, d); not-a-number where none was found."""
    error: Tensor
    """(n,), the length of the last Newton step, which estimates |z − T⁻¹(x)|; infinite where none
    was found."""

    @property
    def found(self) -> Tensor:
        """(n,) bool."""
        return self.error <= TOLERANCE * (1 + self.z.norm(dim=1).nan_to_num(0.0))


@torch.no_grad()
def preimage(map: PushForward, x: Tensor, seeds: Tensor) -> Preimage:
    """z with T(z) = x for every point of x, (n, d). `seeds`: start samples, (k, d)."""
    images = [seeds]
    parts = list(_parts(map))
    for part in parts:
        images.append(part(images[-1]))
    found = [_chunk(map, parts, images, piece) for piece in x.split(_CHUNK)]
    if not found:
        return Preimage(x.clone(), x.new_zeros(0))
    return Preimage(torch.cat([each.z for each in found]), torch.cat([e.error for e in found]))


def _chunk(map: PushForward, parts: list[PushForward], images: list[Tensor], x: Tensor) -> Preimage:
    z = x
    for k in range(len(parts) - 1, -1, -1):
        z = _of_part(parts[k], z, images[k], images[k + 1])
    error = torch.full_like(x[:, 0], torch.inf)
    for _ in range(_POLISH):
        step = _newton_step(map, z, map(z) - x)
        length = step.norm(dim=1).nan_to_num(torch.inf)
        better = length < error  # a step of rounding errors is not taken
        z = torch.where(better[:, None] & step.isfinite().all(1, keepdim=True), z - step, z)
        error = torch.minimum(error, length)
        if not bool(better.any()):
            break
    found = error <= TOLERANCE * (1 + z.norm(dim=1).nan_to_num(0.0))
    return Preimage(torch.where(found[:, None], z, torch.nan), torch.where(found, error, torch.inf))


def _parts(map: PushForward) -> Iterator[PushForward]:
    """The maps that a composition is made of, in the order in which they act."""
    if type(map) not in (Composition, RealNVP):
        yield map
        return
    assert isinstance(map, Composition)
    for part in map.parts:
        assert isinstance(part, PushForward)
        yield from _parts(part)


def _of_part(part: PushForward, x: Tensor, seeds: Tensor, images: Tensor) -> Tensor:
    """The preimages of x under one map; not-a-number where none was found. `seeds` and `images`:
    points of it, with their images."""
    if (closed := _ALONE.get(type(part))) is not None:
        return closed(part, x)
    if part.dimension == 1:
        return _of_line(part, x)
    return _damped_newton(part, x, seeds, images)


def _of_affine(map: Affine, x: Tensor) -> Tensor:
    gradient = map.A + torch.eye(map.dimension, dtype=x.dtype, device=x.device)
    return torch.linalg.solve_ex(gradient, (x - map.b).T).result.T


def _of_scaling(map: Scaling, x: Tensor) -> Tensor:
    return (x - map.b) / (1 + map.a)


def _of_spline(map: AxisSpline, x: Tensor) -> Tensor:
    """Coordinate by coordinate, T_j' from the changes of volume of one coordinate alone."""

    def splines(s: Tensor) -> tuple[Tensor, Tensor]:
        value, slope, _ = map.along_axes(s)
        return value, slope

    return solve_increasing(splines, x, x)


def _of_radial(map: RadialFlow, x: Tensor) -> Tensor:
    """r(1 + g(r)) = r' for the distances r, r' of z and x; x − c and z − c are parallel."""
    far = map.distance(x)

    def moved(r: Tensor) -> tuple[Tensor, Tensor]:
        g = map.profile(r.abs())
        return r * (1 + g.value), 1 + g.value + r.square() * g.slope_over_r

    r = solve_increasing(moved, far, far)
    centre = map.centre.to(x)
    return centre + (x - centre) / (1 + map.profile(r.abs()).value)[:, None]


def _of_planar(map: PlanarFlow, x: Tensor) -> Tensor:
    """Layer by layer, from s + (w·u) tanh(s + b) = w·x for s = w·z."""
    for w, b, u in zip(map.W.flip(0), map.b.flip(0), map.U.flip(0), strict=True):
        gain = torch.dot(w, u)

        def moved(s: Tensor, b: Tensor = b, gain: Tensor = gain) -> tuple[Tensor, Tensor]:
            a = torch.tanh(s + b)
            return s + gain * a, 1 + gain * (1 - a * a)

        image = x @ w
        s = solve_increasing(moved, image, image)
        x = x - torch.outer(torch.tanh(s + b), u)
    return x


_ALONE: dict[type, Callable[..., Tensor]] = {
    Affine: _of_affine, Scaling: _of_scaling, AxisSpline: _of_spline, RadialFlow: _of_radial,
    PlanarFlow: _of_planar, CouplingLayer: CouplingLayer.inverse, NeuralODE: NeuralODE.inverse,
}  # fmt: skip
"""Maps that are inverted by themselves; of a subclass, which may be another map, nothing is
assumed."""


def _of_line(map: PushForward, x: Tensor) -> Tensor:
    def moved(s: Tensor) -> tuple[Tensor, Tensor]:
        return map(s), gradients(map, s)[:, :, 0]

    return solve_increasing(moved, x, x)


def _damped_newton(map: PushForward, x: Tensor, seeds: Tensor, images: Tensor) -> Tensor:
    z = _descended(map, x, x)
    for nearest in range(_ANEW):
        lost = (z.isnan().any(1) & x.isfinite().all(1)).nonzero()[:, 0]
        if not len(lost) or nearest >= len(seeds):
            break
        order = torch.cdist(x[lost], images).topk(nearest + 1, largest=False).indices[:, nearest]
        z[lost] = _descended(map, x[lost], seeds[order])
    return z


def _descended(map: PushForward, x: Tensor, start: Tensor) -> Tensor:
    """Newton steps from `start`, each halved until |T(z) − x| falls; not-a-number where it does
    not vanish, or where the map has folded at the point that is found."""
    z, found = start.clone(), torch.zeros_like(x[:, 0], dtype=torch.bool)
    active = torch.arange(len(x), device=x.device)
    for _ in range(_NEWTON):
        here, target = z[active], x[active]
        misfit = map(here) - target
        step = _newton_step(map, here, misfit)
        length = step.norm(dim=1)
        small = length <= 1e-12 * (1 + here.norm(dim=1))
        moved = _halved(map, here, target, step, misfit.norm(dim=1))
        stuck = (moved == here).all(1) | ~moved.isfinite().all(1)
        z[active] = torch.where(small[:, None], here - step, moved)
        found[active[small]] = True
        active = active[~small & ~stuck]
        if not len(active):
            break
    positive = torch.linalg.det(gradients(map, z)) > 0
    return torch.where((found & positive)[:, None], z, torch.nan)


def _halved(map: PushForward, z: Tensor, x: Tensor, step: Tensor, misfit: Tensor) -> Tensor:
    """z − s·step with the largest s = 1, ½, ¼, … at which the misfit falls; z where it never
    does."""
    result, share = z.clone(), 1.0
    waiting = torch.arange(len(z), device=z.device)
    for _ in range(_HALVINGS):
        trial = z[waiting] - share * step[waiting]
        falls = (map(trial) - x[waiting]).norm(dim=1) < (1 - 1e-4 * share) * misfit[waiting]
        result[waiting[falls]] = trial[falls]
        waiting = waiting[~falls]
        if not len(waiting):
            break
        share *= 0.5
    return result


def _newton_step(map: PushForward, z: Tensor, misfit: Tensor) -> Tensor:
    """∇T⁻¹ (T(z) − x); not finite where ∇T is singular."""
    return torch.linalg.solve_ex(gradients(map, z), misfit[:, :, None]).result[:, :, 0]


def gradients(map: PushForward, z: Tensor) -> Tensor:
    """∇T(z), (n, d, d), column by column from the map's linearisation."""
    linearization, still = map.linearize(z), z.new_zeros(map.parameter_count())
    columns = []
    for j in range(map.dimension):
        direction = torch.zeros_like(z)
        direction[:, j] = 1.0
        columns.append(linearization.jvp(still, direction).clone())
    return torch.stack(columns, 2)
