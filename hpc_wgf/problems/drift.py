"""Velocities b(x, t) of particles that come from no energy: u = −P f + b."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from ..constants import beside, like
from ..errors import InputError
from ..user_code import CHANGES_ITS_SAMPLES, called, check_values, said, takes_time


class Drift(Protocol):
    """b: ℝᵈ × ℝ → ℝᵈ."""

    def __call__(self, x: Tensor, time: float) -> Tensor:
        """b(x, t), (n, d) → (n, d)."""
        ...


class LinearDrift:
    """b(x, t) = (A₀ + sin(t) A₁) x + a."""

    def __init__(self, dimension: int, matrix: Any = 0.0, vector: Any = 0.0, sine: Any = 0.0):
        """`matrix`, `sine`: A₀ and A₁, (d, d), (d,) for a diagonal or a number c for c·I, without
        any symmetry. `vector`: a, (d,) or a number for d equal entries.

        Errors: `InputError` for other shapes or entries that are not finite."""
        self.dimension = dimension
        self.matrix = _square(matrix, dimension, "the matrix of a linear drift")
        self.sine = _square(sine, dimension, "the matrix of sin(t) of a linear drift")
        self.vector = _finite(vector, "the vector of a linear drift")
        if self.vector.shape not in ((), (dimension,)):
            raise _shape_error("the vector of a linear drift", self.vector, dimension)
        self.vector = self.vector.expand(dimension).clone()

    def __repr__(self) -> str:
        parts = (self.matrix.tolist(), self.vector.tolist(), self.sine.tolist())
        return "LinearDrift(matrix={}, vector={}, sine={})".format(*parts)

    def linear(self, time: float) -> tuple[Tensor, Tensor]:
        """A(t) = A₀ + sin(t) A₁, (d, d), and a, (d,)."""
        return self.matrix + torch.sin(self.matrix.new_tensor(time)) * self.sine, self.vector

    def __call__(self, x: Tensor, time: float) -> Tensor:
        sine = torch.sin(torch.full((), time, dtype=torch.float64, device=x.device))
        A = beside(self.matrix, x) + sine * beside(self.sine, x)
        return x @ A.T.to(x) + like(self.vector, x)


class UserDrift:
    """A torch function of a user, of x or of x and t."""

    def __init__(self, function: Callable[..., Tensor], name: str | None = None) -> None:
        """`function`: b(x) or b(x, t), t a float. `name`: what descriptions call it.

        Errors: `InputError` if it is no function of one or two arguments."""
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        self.timed = takes_time(function, f"the drift {self.name}")

    def __repr__(self) -> str:
        return f"UserDrift({self.name})"

    def __call__(self, x: Tensor, time: float) -> Tensor:
        arguments = (x, time) if self.timed else (x,)
        return called(f"the drift {self.name}", self.function, *arguments)


def check_drift(drift: Drift, x: Tensor, time: float) -> None:
    """Errors: `InputError` if b fails at start samples, changes them, has another shape than they
    have, or is not finite there."""
    given, what = x.clone(), f"the drift {getattr(drift, 'name', drift)}"
    try:
        value = drift(given, time)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{what} cannot be evaluated at start samples of shape {tuple(x.shape)} and "
            f"t = {time:g}: {said(error)}"
        ) from error
    check_values(what, value, x, x.shape, f"a velocity of {x.shape[1]} components for every sample")
    if not torch.equal(given, x):
        raise InputError(f"{what} {CHANGES_ITS_SAMPLES}")
    if not bool(value.isfinite().all()):
        wrong = int((~value.isfinite().all(1)).sum())
        raise InputError(f"{what} is not finite at {wrong} of {len(x)} start samples")


def _finite(value: Any, what: str) -> Tensor:
    found = torch.as_tensor(value, dtype=torch.float64)
    if not bool(found.isfinite().all()):
        raise InputError(f"{what} has entries that are not finite")
    return found


def _square(value: Any, dimension: int, what: str) -> Tensor:
    m = _finite(value, what)
    if m.shape == (dimension, dimension):
        return m
    if m.shape not in ((), (dimension,)):
        raise _shape_error(what, m, dimension)
    return torch.diag(m.expand(dimension))


def _shape_error(what: str, value: Tensor, dimension: int) -> InputError:
    return InputError(
        f"{what} has shape {tuple(value.shape)} but the dimension is {dimension}: give a number, "
        f"{dimension} numbers, or for a matrix {dimension} rows of {dimension}"
    )
