"""Roots of increasing functions of one variable, elementwise: Newton steps within a bracket."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# s ↦ (f(s), f'(s)), elementwise, f increasing
Increasing = Callable[[Tensor], tuple[Tensor, Tensor]]

_DOUBLINGS = 200  # of a bracket, which so reaches every floating-point number that may be meant
_ITERATIONS = 200  # enough to halve any bracket down to neighbouring numbers


def solve_increasing(function: Increasing, target: Tensor, guess: Tensor) -> Tensor:
    """s with f(s) = `target`, elementwise, up to rounding; not-a-number where there is no bracket,
    as f does not reach the target, or is not increasing.

    A bracket about `guess` is doubled until it holds the target. Within it Newton steps are
    taken, and halvings where one would leave it.
    """
    low, high = _bracket(function, target, guess)
    s, open_ = guess.clamp(low, high), low < high
    for _ in range(_ITERATIONS):
        value, slope = function(s)
        above = value > target
        high, low = torch.where(above, s, high), torch.where(above, low, s)
        newton = s - (value - target) / slope
        inside = (newton > low) & (newton < high)  # false for what is not a number
        moved = torch.where(inside, newton, 0.5 * (low + high))
        moved = torch.where(open_, moved, s)
        settled = (moved - s).abs() <= 2 * torch.finfo(s.dtype).eps * (1 + s.abs())
        s, open_ = moved, open_ & ~settled
        if not bool(open_.any()):
            break
    return torch.where(low.isfinite() & high.isfinite(), s, torch.nan)


def _bracket(function: Increasing, target: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers below and above the root; not-a-number where there are none."""
    ends = []
    for sign in (-1.0, 1.0):
        width, end = 1e-3 * (1 + guess.abs()), guess.clone()
        for _ in range(_DOUBLINGS):
            beyond = sign * (function(end)[0] - target) >= 0
            if bool(beyond.all()):
                break
            end = torch.where(beyond, end, end + sign * width)
            width = torch.where(beyond, width, 2 * width)
        ends.append(torch.where(sign * (function(end)[0] - target) >= 0, end, torch.nan))
    return ends[0], ends[1]
