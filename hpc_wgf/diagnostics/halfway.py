"""What the linearised error takes of a step, at the middle of its path and at its end.

The two are computed by two ranks where there are several, and told to all: each takes the densities
of all samples of the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..parallel import Communicator
from ..problems import SumOfEnergies
from .linearised_error import Galerkin, Hessians, roughness

_NoFactors: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]


class Residual(NamedTuple):
    """r at the samples of the estimate, in its two parts."""

    moments: Tensor
    """E[r·∇φ], (q,)."""
    rest: Tensor
    """r less its gradient part, (n, d)."""

    @classmethod
    def of(cls, sight: Galerkin) -> Residual:
        """At a time of the path."""
        residual = sight.seen.residual
        moments = sight.moments(residual)
        return cls(moments, residual - sight.field(moments))


class Halfway(NamedTuple):
    """How a step of length h carries on what it begins with, by what the middle of its path says:
    e^{hA} of the error's moments a, the integral of those of r but for its end, and both for what
    is no gradient; decay by ∇²V and by diffusion."""

    gradient: Tensor
    """e^{hA} a, (q,)."""
    moments: Tensor
    """e^{hA} E[r·∇φ] at the beginning and 4 e^{hA/2} of that in the middle, (q,)."""
    rest: Tensor
    """The error's rest and h/6 of that of r at the beginning, decayed over h, (n, d)."""
    half: Tensor
    """4 times that of r in the middle, decayed over h/2, (n, d)."""
    numbers: Tensor
    """The least eigenvalue of ∇²V, (E|r|²)^½ in the middle, and how many samples have folded."""

    @classmethod
    def of(
        cls, sight: Galerkin, error: Residual, first: Residual, step: float,
        energy: SumOfEnergies, *, coordinates_alone: bool,
    ) -> Halfway:  # fmt: skip
        """`error`: the error's moments and rest where the step begins; `first`: r there.
        `coordinates_alone`: whether r_j depends on x_j alone, for every j."""
        half = Residual.of(sight)
        hessians = Hessians(energy.potential(), sight.seen.cloud.x.double())
        rate, gradient, moments = 0.0, error.moments, torch.zeros_like(error.moments)
        if sight.basis.count:
            diffusion = sight.diffusion(energy)
            rate = sight.rate(diffusion)
            short = torch.linalg.matrix_exp(0.5 * step * sight.generator(hessians, diffusion))
            whole = short @ short
            gradient = whole @ gradient
            moments = whole @ first.moments + 4 * (short @ half.moments)
        if coordinates_alone:
            rate = max(rate, roughness(sight.seen, half.rest, energy))
        begun = hessians.decayed(error.rest + step / 6 * first.rest, step)
        middle = hessians.decayed(half.rest, step / 2)
        folded = float((sight.seen.weights == 0).sum())
        return cls(
            gradient, moments, math.exp(-rate * step) * begun,
            4 * math.exp(-rate * step / 2) * middle,
            torch.tensor([hessians.least, sight.seen.norm, folded]).to(gradient),
        )  # fmt: skip

    def carried(self, last: Residual, step: float) -> Residual:
        """The error at the end of the step, where r is `last`."""
        return Residual(
            self.gradient + step / 6 * (self.moments + last.moments),
            self.rest + step / 6 * (self.half + last.rest),
        )


def numbers_told(functions: int, coordinates: int) -> int:
    """By `on_two_ranks`, for a basis of so many functions and so many coordinates of samples: the
    two results, and for each whether it was found."""
    return sum(sum(size) + 1 for size in _sizes(functions, coordinates))


def _sizes(functions: int, coordinates: int) -> list[list[int]]:
    """Of the parts of a `Halfway` and of a `Residual`."""
    q, nd = functions, coordinates
    return [[q, q, nd, nd, 3], [q, nd]]


def on_two_ranks(
    communicator: Communicator, middle: Callable[[], Halfway], end: Callable[[], Residual],
    like: Residual,
) -> tuple[Halfway, Residual]:  # fmt: skip
    """What `middle` and `end` find, each computed by one rank. `like`: of the same shapes.
    Collective, one all-reduce. Errors: `LinAlgError` on all ranks where one of them raises it."""
    sizes = _sizes(like.moments.numel(), like.rest.numel())

    def make(k: int) -> Tensor:
        failed = like.moments.new_zeros(1)
        try:
            parts: Sequence[Tensor] = middle() if k == 0 else end()
        except _NoFactors:
            failed += 1
            parts = [like.moments.new_zeros(size) for size in sizes[k]]
        return torch.cat([*(part.reshape(-1) for part in parts), failed])

    told = like.moments.new_zeros(numbers_told(like.moments.numel(), like.rest.numel()))
    found = told.split([sum(size) + 1 for size in sizes])
    for k, part in enumerate(found):
        if k % communicator.size == communicator.rank:
            part.copy_(make(k))
    communicator.sum(told)  # to which all others add zeros
    if any(bool(each[-1]) for each in found):
        raise _NoFactors("the moments of the error's basis cannot be factored")
    # In memory of their own: products round otherwise where numbers begin elsewhere.
    (gradient, moments, rest, half, numbers), (last, last_rest) = (
        [part.clone() for part in each[:-1].split(size)]
        for each, size in zip(found, sizes, strict=True)
    )
    shape = like.rest.shape
    return (
        Halfway(gradient, moments, rest.view(shape), half.view(shape), numbers),
        Residual(last, last_rest.view(shape)),
    )
