"""What a rival is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ...ensemble.sobol import sobol_points
from ...problems import Problem, inverse_transform
from .law import Law

POINTS = 2**18
"""Sobol points that maps carry to tell their laws."""
LogDensity = Callable[[Tensor], Tensor]
"""log ρ at points, (n, d) → (n,) in float64."""


@dataclass(frozen=True)
class Answer:
    """ρ at the end of a flow, as one way of solving it has it."""

    tell: Callable[[], Law]
    """Gives its samples, particles or cells; what that takes is not counted."""
    size: int
    """How many of them there were in the computation."""
    log_density: LogDensity | None = None
    """None where it has no density."""
    steps: int | None = None
    """In time; of adaptive schemes how often the velocities were computed."""

    @cached_property
    def law(self) -> Law:
        """What `tell` gives."""
        return self.tell()


@dataclass(frozen=True)
class Rival:
    """A way of solving flows that can be made finer."""

    unit: Literal["samples", "particles", "cells"]
    """What its size counts."""
    refusal: Callable[[Problem], str]
    """Why it cannot answer the question of a problem; "" where it can."""
    answer: Callable[[Problem, int, int], Answer]
    """Of a problem, at a level from 0 on, with a seed: a level has half the error of the one
    before, as far as the theory goes, or less."""
    levels: int
    """How many levels there are."""


def start_points(problem: Problem, count: int, *key: int) -> Tensor:
    """`count` Sobol points of the start density, (count, d) in float64, of the scrambling that
    `key` chooses. Errors: `InputError` for a density without an inverse transform."""
    transform = inverse_transform(problem.start)
    with torch.no_grad():
        points = sobol_points(slice(0, count), transform.uniforms, key=key)
        return transform.samples(points).double()
