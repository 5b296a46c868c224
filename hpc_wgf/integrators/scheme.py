"""One step of y' = f(t, y) by schemes that are chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from .rosenbrock import Resolvent, RightHandSide, rosenbrock_step
from .runge_kutta import runge_kutta_step
from .stabilised import (
    chebyshev_error,
    chebyshev_step,
    first_node,
    spectral_radius,
    stages_for,
)
from .tableau import TABLEAUX, Tableau

_ESTIMATE_LASTS = 10  # Steps that share an estimate of the spectral radius, which changes slowly.


class Advanced(NamedTuple):
    """The result of one step of a scheme."""

    y: Tensor
    """y₊, the approximation of y(t + h)."""
    error: Tensor | None
    """An estimate of the error of y₊, of its shape; None where none was asked for or is known."""
    memory: Any
    """What the scheme wants back at its next step; None for nothing."""


class Scheme(Protocol):
    """A one-step scheme for y' = f(t, y).

    It has no state of its own: what it remembers from step to step, its `memory`, goes into
    `advance` and comes out of it. At the start it is None.
    """

    @property
    def name(self) -> str:
        """The name by which run files choose it."""
        ...

    @property
    def order(self) -> int:
        """The order of convergence."""
        ...

    @property
    def error_order(self) -> int | None:
        """The power of h in the error estimate; None without an estimate."""
        ...

    @property
    def implicit(self) -> bool:
        """Whether it needs a resolvent of f'."""
        ...

    def first_stage(self, step: float, memory: Any) -> float:
        """The part of a step of size `step`, in units of t, over which f(y) alone is followed,
        before f is evaluated again."""
        ...

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        """The memory as tensors and numbers by name, so that it can be stored."""
        ...

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        """The memory from the parts that `state_dict` has returned."""
        ...

    def advance(
        self,
        rhs: RightHandSide,
        y: Tensor,
        first: Tensor,
        step: float,
        *,
        norm: Callable[[Tensor], float],
        estimate: bool,
        memory: Any,
        resolvent: Resolvent | None = None,
    ) -> Advanced:
        """y(t) ↦ y(t + h), one step.

        `rhs`: f, as (y, s) ↦ f(t + s, y). `first`: f(t, y), so that a step repeated with another
        size need not evaluate it again. `step`: h. `norm`: the norm of a difference of two y.
        `estimate`: whether an error estimate is wanted. `memory`: that of the step before, None at
        the start. `resolvent`: needed by implicit schemes. Exceptions of `rhs` are not caught.
        """
        ...


class _WithoutMemory:
    """What is stored of a scheme that has no memory."""

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        return {}

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        return None


@dataclass(frozen=True)
class RungeKutta(_WithoutMemory):
    """The Runge–Kutta scheme of a tableau, which has no memory."""

    tableau: Tableau
    """Its coefficients."""
    implicit: bool = False
    """It is explicit."""

    @property
    def name(self) -> str:
        return self.tableau.name

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        return None if self.tableau.error is None else self.tableau.order

    def first_stage(self, step: float, memory: Any) -> float:
        return step * (self.tableau.c[1] if len(self.tableau.c) > 1 else 1.0)

    def advance(
        self, rhs: RightHandSide, y: Tensor, first: Tensor, step: float, *,
        norm: Callable[[Tensor], float], estimate: bool, memory: Any,
        resolvent: Resolvent | None = None,
    ) -> Advanced:  # fmt: skip
        after, error = runge_kutta_step(rhs, y, first, step, self.tableau)
        return Advanced(after, error if estimate else None, None)


class _Spectrum(NamedTuple):
    """An estimate of the spectral radius of f'."""

    radius: float
    """σ, in 1/t."""
    vector: Tensor
    """An approximation of the eigenvector, of the shape of y."""
    age: int
    """Steps since the estimate."""


@dataclass(frozen=True)
class Chebyshev:
    """Runge–Kutta–Chebyshev of order two, with as many stages as the spectral radius of f' demands.

    The radius is estimated at the first step and at every tenth after it; in between it is kept as
    the memory of the scheme. See `chebyshev_step` and `spectral_radius`.
    """

    name: str = "rkc2"
    """The name by which run files choose it."""
    order: int = 2
    """The order of convergence."""
    error_order: int | None = 3
    """The power of h in the error estimate."""
    implicit: bool = False
    """It is explicit."""

    def first_stage(self, step: float, memory: Any) -> float:
        return step * first_node(2 if memory is None else stages_for(step, memory.radius))

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        return {} if memory is None else memory._asdict()

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        if not parts:
            return None
        return _Spectrum(float(parts["radius"]), parts["vector"], int(parts["age"]))

    def advance(
        self, rhs: RightHandSide, y: Tensor, first: Tensor, step: float, *,
        norm: Callable[[Tensor], float], estimate: bool, memory: Any,
        resolvent: Resolvent | None = None,
    ) -> Advanced:  # fmt: skip
        seen: _Spectrum | None = memory
        if seen is None or seen.age >= _ESTIMATE_LASTS:
            guess = None if seen is None else seen.vector
            seen = _Spectrum(*spectral_radius(rhs, y, first, norm, guess, step=step), 0)
        after = chebyshev_step(rhs, y, first, step, stages_for(step, seen.radius))
        error = chebyshev_error(y, after, first, rhs(after, step), step) if estimate else None
        return Advanced(after, error, seen._replace(age=seen.age + 1))


@dataclass(frozen=True)
class Rosenbrock(_WithoutMemory):
    """The linearly implicit scheme of `rosenbrock_step`, which has no memory."""

    name: str = "ros2"
    """The name by which run files choose it."""
    order: int = 2
    """The order of convergence."""
    error_order: int | None = 2
    """The power of h in the error estimate."""
    implicit: bool = True
    """It needs a resolvent."""

    def first_stage(self, step: float, memory: Any) -> float:
        return step

    def advance(
        self, rhs: RightHandSide, y: Tensor, first: Tensor, step: float, *,
        norm: Callable[[Tensor], float], estimate: bool, memory: Any,
        resolvent: Resolvent | None = None,
    ) -> Advanced:  # fmt: skip
        assert resolvent is not None
        after, error = rosenbrock_step(rhs, y, first, step, resolvent)
        return Advanced(after, error if estimate else None, None)


SCHEMES: dict[str, Scheme] = {name: RungeKutta(tableau) for name, tableau in TABLEAUX.items()}
"""All schemes by name."""
SCHEMES["rkc2"] = Chebyshev()
SCHEMES["ros2"] = Rosenbrock()
