"""Potentials V: ℝᵈ → ℝ."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..kinds import check_kind
from ..user_code import called, check_values, takes_time
from .matrices import (
    Spectrum,
    added,
    times,
)


class Potential(ABC):
    """A potential V: ℝᵈ → ℝ. The sum of two potentials is a potential.

    A subclass defines V; its gradient is found by automatic differentiation.
    """

    dimension: int | None = None
    """The dimension d for which V is defined, or None if it is defined for all."""

    def __init_subclass__(cls, **of_class: Any) -> None:
        super().__init_subclass__(**of_class)
        # A class with a V of its own has not the gradient in closed form of the one it extends.
        if "__call__" in vars(cls) and "gradient" not in vars(cls):
            cls.gradient = Potential.gradient  # type: ignore[method-assign]

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """V(x), (n, d) → (n,), differentiable in x."""

    def gradient(self, x: Tensor) -> Tensor:
        """∇V(x), (n, d) → (n, d)."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(point).sum(), point)
        return gradient

    def hessian(self) -> Tensor | None:
        """∇²V if it is the same everywhere, that is, if V is a polynomial of degree 2: (), (d,) or
        (d, d) as in the module `matrices`. Else None."""
        return None

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        """The function v_j: (n,) → (n,) of one coordinate if V(x) = Σ_j v_j(x_j), else None."""
        return None

    def convexity(self) -> float | None:
        """κ ≤ λ_min(∇²V(x)) for all x, as near as it is known; None where no such bound is. By
        default that of a constant Hessian."""
        hessian = self.hessian()
        return None if hessian is None else float(Spectrum(hessian).values.min())

    def log_partition(self, beta: float) -> float | None:
        """log ∫ e^{−V/β} dx for β > 0 if it is known in closed form, else None."""
        return None

    def __add__(self, other: Potential) -> Potential:
        return SumOfPotentials([(1.0, self), (1.0, other)])


def with_hessian(potential: Potential, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """∇V at x, (n, d), and the products v ↦ ∇²V v, (d,) → (n, d), by automatic differentiation: all
    of ∇²V need not be held at once."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(potential(point).sum(), point, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not gradient.requires_grad:  # V is linear.
            return torch.zeros_like(x)
        (found,) = torch.autograd.grad(
            gradient, point, v.expand_as(x), retain_graph=True, materialize_grads=True
        )
        return found

    return gradient.detach(), product


def is_separable(potential: Potential | None, dimension: int) -> bool:
    """Whether V(x) = Σ_j v_j(x_j) with v_j that `Potential.coordinate` gives; true without one."""
    return potential is None or all(potential.coordinate(j) is not None for j in range(dimension))


class SumOfPotentials(Potential):
    """V = Σᵢ cᵢ Vᵢ."""

    def __init__(self, terms: Sequence[tuple[float, Potential]]):
        """`terms`: the pairs (cᵢ, Vᵢ). A term that is a sum itself is replaced by its terms.

        Errors: `InputError` if the potentials differ in dimension."""
        for _, term in terms:
            check_kind(
                term, "potential", ("gradient", "dimension"),
                "wrap a function (n, d) → (n,) of yours as UserPotential(function, name)",
            )  # fmt: skip
        self.terms: list[tuple[float, Potential]] = [
            (factor * inner, part)
            for factor, term in terms
            for inner, part in (term.terms if isinstance(term, SumOfPotentials) else [(1.0, term)])
        ]
        known = {term.dimension for _, term in self.terms} - {None}
        if len(known) > 1:
            raise InputError(
                f"the potentials of a sum differ in dimension: {sorted(map(str, known))}"
            )
        self.dimension = known.pop() if known else None

    def __repr__(self) -> str:
        return f"SumOfPotentials({self.terms})"

    def __call__(self, x: Tensor) -> Tensor:
        total = self.terms[0][0] * self.terms[0][1](x)
        for factor, term in self.terms[1:]:
            total = total + factor * term(x)
        return total

    def coordinate(self, j: int) -> Callable[[Tensor], Tensor] | None:
        parts = [(factor, term.coordinate(j)) for factor, term in self.terms]
        if any(part is None for _, part in parts):
            return None
        return lambda x: sum((c * v(x) for c, v in parts if v is not None), torch.zeros_like(x))

    def hessian(self) -> Tensor | None:
        parts = [(factor, term.hessian()) for factor, term in self.terms]
        known = [(factor, part) for factor, part in parts if part is not None]
        if self.dimension is None or len(known) < len(parts):
            return None
        return added(known, self.dimension)

    def convexity(self) -> float | None:
        if self.hessian() is not None:
            return super().convexity()
        known = [(factor, part.convexity()) for factor, part in self.terms]
        if any(factor < 0 or value is None for factor, value in known):
            return None
        return sum(factor * value for factor, value in known if value is not None)

    def log_partition(self, beta: float) -> float | None:
        if self.hessian() is not None:
            return self._quadratic_log_partition(beta)
        if len(self.terms) != 1 or self.terms[0][0] != 1.0:
            return None
        return self.terms[0][1].log_partition(beta)

    def _quadratic_log_partition(self, beta: float) -> float | None:
        """log ∫ e^{−V/β} dx = −V(x₀)/β + ½ d log(2πβ) − ½ log det Q for quadratic terms, whose sum
        has the Hessian Q and the minimum x₀. None unless Q is positive definite, by more than the
        rounding errors of the sum."""
        Q, d = self.hessian(), self.dimension
        assert Q is not None
        assert d is not None
        spectrum = Spectrum(Q)
        sizes = [abs(c) * float(h.abs().max()) for c, term in self.terms
                 if (h := term.hessian()) is not None]  # fmt: skip
        rounding = d * torch.finfo(torch.float64).eps * sum(sizes)
        if not float(spectrum.values.min()) > rounding:
            return None
        lowest, inverse = torch.zeros(1, d, dtype=torch.float64), spectrum.of(torch.reciprocal)
        for _ in range(2):  # the second step removes the rounding errors of a distant minimum
            lowest = lowest - times(self.gradient(lowest), inverse)
        log_det = float(spectrum.values.log().expand(d).sum())
        return 0.5 * (d * math.log(2 * math.pi * beta) - log_det) - float(self(lowest)) / beta


class UserPotential(Potential):
    """V given by a torch function."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None):
        """`function`: V, (n, d) → (n,), differentiable by torch. `name`: what the descriptions of
        a run call it, by default the name of the function.

        Errors: `InputError` for what cannot be called, and for a class, which would be."""
        if isinstance(function, type) or not callable(function):
            raise InputError(
                f"{function!r} was given as a potential: expected a torch function of yours, or an "
                "object that can be called, which takes x, (n, d), and returns V(x), (n,)"
            )
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        if takes_time(function, f"the potential {self.name}"):
            raise InputError(
                f"the potential {self.name} takes x and t, and this one does not depend on time: "
                'give it as UserMovingPotential, in run files with kind = "moving-user"'
            )

    def __repr__(self) -> str:
        return f"UserPotential({self.name})"

    def __call__(self, x: Tensor) -> Tensor:
        what = f"the potential {self.name}"
        # The function gets samples of its own: what it does to them is not done to the run's.
        value = called(what, self.function, x.clone())
        check_values(what, value, x, x.shape[:1], "one value per sample")
        if x.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise InputError(
                f"{what} returned values that torch cannot differentiate with respect to x, so "
                "that its force would be 0: compute them from x by torch functions, without "
                "detach, item or numpy"
            )
        return value
