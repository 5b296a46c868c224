"""Flows without diffusion, along their characteristics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from .potentials import Potential

_TOLERANCE = 1e-11  # of a step, relative to x and to how far it is from where it started
_TINY = 1e-300  # samples at the origin that stay there
_MOST = 2000  # steps: a potential as stiff as that has no map
_SHORTEST = 1e-13  # step, relative to the time, with which a sample has left all bounds
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 8.0  # of the length of the next step
_ORDER = 8


@dataclass(frozen=True)
class CharacteristicFlow:
    """x' = −∇V(x), x(0) = z: without diffusion every sample moves alone, whatever the density.

    The Dormand–Prince method of order 8 with a length of step of its own for every sample, so that
    none depends on which others are asked for (E. Hairer, S. P. Nørsett, G. Wanner, Solving
    Ordinary Differential Equations I, 1993, II.5 and II.10). The error is about 1e-10 relative to
    x; the result is NaN where a sample is not there after 2000 steps, or has left all
    bounds.
    """

    potential: Potential
    """V."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        start = z.double().cpu()
        x = start
        left = torch.full_like(x[:, 0], t)
        size = left * _first_share(self.potential, x, t)
        for _ in range(_MOST):
            if not bool((left > 0).any()):
                return x
            last = size >= left
            h = torch.where(last, left, size)
            moved, error = _step(self.potential, x, h)
            sizes = torch.stack([x, moved, moved - start]).abs().amax((0, 2))
            ratio = error / (_TOLERANCE * sizes.clamp(min=_TINY))
            accepted = ratio <= 1  # not where it is not a number
            x = torch.where(accepted[:, None], moved, x)
            left = torch.where(accepted, torch.where(last, 0.0, left - h), left)
            change = (_SAFETY * ratio.pow(-1 / _ORDER)).nan_to_num(_SHRINK, posinf=_GROW)
            size = h * change.clamp(_SHRINK, _GROW)
            lost = (left > 0) & ~(size > _SHORTEST * t)
            x, left = torch.where(lost[:, None], torch.nan, x), torch.where(lost, 0.0, left)
        return torch.where((left > 0)[:, None], torch.nan, x)


def _first_share(potential: Potential, x: Tensor, t: float) -> Tensor:
    """The share of the time that the first step is tried with, (n,): a force that goes on would
    move the sample by a hundredth of its size."""
    speed, size = potential.gradient(x).abs().amax(1), x.abs().amax(1)
    return (0.01 * (size + 0.01) / (speed * t)).nan_to_num(1.0).clamp(max=1.0)


def _step(potential: Potential, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """One step of length h, (n,), from x, (n, d), and the estimate of its error, (n,)."""
    method, h = scipy.integrate.DOP853, h[:, None]
    slopes: list[Tensor] = []

    def mixed(weights: np.ndarray) -> Tensor:
        total = torch.zeros_like(x)
        for weight, slope in zip(weights.tolist(), slopes, strict=False):
            total = total + weight * slope
        return total

    for row in method.A[: method.n_stages]:
        slopes.append(-potential.gradient(x + h * mixed(row)))
    moved = x + h * mixed(method.B)
    slopes.append(-potential.gradient(moved))
    fifth, third = mixed(method.E5).norm(dim=1), mixed(method.E3).norm(dim=1)
    denominator = (fifth.square() + 0.01 * third.square()).sqrt()
    return moved, h[:, 0] * torch.where(fifth > 0, fifth.square() / denominator, fifth)
