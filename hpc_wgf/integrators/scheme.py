"""Schemes by name: how y' = f(y) is followed over one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from .runge_kutta import runge_kutta_step
from .stabilised import (
    chebyshev_error,
    chebyshev_step,
    first_node,
    spectral_radius,
    stages_for,
)
from .tableau import TABLEAUX, Tableau

_ESTIMATE_LASTS = 10  # steps for which an estimate of the spectral radius is kept


class Advanced(NamedTuple):
    """y₊, the error estimate where it was asked for, and what the scheme remembers."""

    y: Tensor
    error: Tensor | None
    memory: Any


class Scheme(Protocol):
    """An explicit scheme. `error_order`: the power of h in its error estimate, None without one."""

    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int: ...

    @property
    def error_order(self) -> int | None: ...

    def first_stage(self, step: float, memory: Any) -> float:
        """How far the first slope is followed before another is computed."""
        ...

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        """What it remembers, as tensors and numbers by name."""
        ...

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        """The memory that `state_dict` took apart."""
        ...

    def advance(
        self,
        rhs: Callable[[Tensor], Tensor],
        y: Tensor,
        first: Tensor,
        step: float,
        *,
        norm: Callable[[Tensor], float],
        estimate: bool,
        memory: Any,
    ) -> Advanced:
        """One step. `first`: f(y), which a rejected and repeated step need not compute again.
        `norm`: |·| of a difference of two y. `estimate`: whether an error estimate is wanted.
        Whatever `rhs` raises passes through."""
        ...


@dataclass(frozen=True)
class RungeKutta:
    """The scheme of a tableau; it remembers nothing."""

    tableau: Tableau

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

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        return {}

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        return None

    def advance(
        self, rhs: Callable[[Tensor], Tensor], y: Tensor, first: Tensor, step: float, *,
        norm: Callable[[Tensor], float], estimate: bool, memory: Any,
    ) -> Advanced:  # fmt: skip
        after, error = runge_kutta_step(rhs, y, first, step, self.tableau)
        return Advanced(after, error if estimate else None, None)


class _Spectrum(NamedTuple):
    """The spectral radius of f', its eigenvector, and the steps since it was estimated."""

    radius: float
    vector: Tensor
    age: int


@dataclass(frozen=True)
class Chebyshev:
    """Runge–Kutta–Chebyshev of order two, with as many stages as the spectrum of f' asks for: the
    estimate is made at the first step and every tenth, and between them remembered."""

    name: str = "rkc2"
    order: int = 2
    error_order: int | None = 3

    def first_stage(self, step: float, memory: Any) -> float:
        return step * first_node(2 if memory is None else stages_for(step, memory.radius))

    def state_dict(self, memory: Any) -> Mapping[str, Any]:
        return {} if memory is None else memory._asdict()

    def load_state_dict(self, parts: Mapping[str, Tensor]) -> Any:
        if not parts:
            return None
        return _Spectrum(float(parts["radius"]), parts["vector"], int(parts["age"]))

    def advance(
        self, rhs: Callable[[Tensor], Tensor], y: Tensor, first: Tensor, step: float, *,
        norm: Callable[[Tensor], float], estimate: bool, memory: Any,
    ) -> Advanced:  # fmt: skip
        seen: _Spectrum | None = memory
        if seen is None or seen.age >= _ESTIMATE_LASTS:
            guess = None if seen is None else seen.vector
            seen = _Spectrum(*spectral_radius(rhs, y, first, norm, guess, step=step), 0)
        after = chebyshev_step(rhs, y, first, step, stages_for(step, seen.radius))
        error = chebyshev_error(y, after, first, rhs(after), step) if estimate else None
        return Advanced(after, error, seen._replace(age=seen.age + 1))


SCHEMES: dict[str, Scheme] = {name: RungeKutta(tableau) for name, tableau in TABLEAUX.items()}
SCHEMES["rkc2"] = Chebyshev()
