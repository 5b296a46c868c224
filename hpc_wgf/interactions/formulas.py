"""Kernels as formulas of KeOps, functions of S = |x − y|²."""

from __future__ import annotations

from dataclasses import dataclass

from .exponentials import Morse, ScreenedCoulomb
from .kernels import GaussianKernel, PairKernel, Power, PowerLaw
from .softened import Softened

_ROOTS = {-3: "Inv({0}*Sqrt({0}))", -1: "Rsqrt({0})", 1: "Sqrt({0})", 3: "({0}*Sqrt({0}))"}
_POWERS = {-4: "Inv(Square({0}))", -2: "Inv({0})", 0: "IntCst(1)", 2: "{0}", 4: "Square({0})"}


@dataclass(frozen=True)
class Formula:
    """J and its weight w, ∇J(x) = w x. Numbers are parameters, so that one compiled function serves
    all widths and strengths."""

    value: str
    """J, a function of x, y and of the parameters Elem(p, k)."""
    weight: str
    """w, likewise."""
    parameters: tuple[float, ...]
    """The numbers p."""
    is_rational: bool
    """Whether no exponential, logarithm or power has to be taken for w."""


def formula_of(kernel: PairKernel) -> Formula | None:
    """`kernel` as a formula, or None where it is none of KeOps' functions, as those of users, and
    classes that extend one of these kernels."""
    writer = _Writer()
    square = "SqDist(x,y)"
    if type(kernel) is Softened:
        square = f"({square}+{writer.number(kernel.length**2)})"
        kernel = kernel.kernel
    if type(kernel) is Power:
        value, weight = (
            writer.value(square, kernel.exponent),
            writer.weight(square, kernel.exponent),
        )
    elif type(kernel) is PowerLaw:
        value, weight = (
            f"({of(square, kernel.a)}-{of(square, kernel.b)})"
            for of in (writer.value, writer.weight)
        )
    elif type(kernel) is GaussianKernel:
        decay = f"Exp({writer.number(-0.5 / kernel.width**2)}*{square})"
        value = f"({writer.number(-kernel.amplitude)}*{decay})"
        weight = f"({writer.number(kernel.amplitude / kernel.width**2)}*{decay})"
    elif type(kernel) is Morse:
        r = f"Sqrt({square})"
        near, far = f"Exp({writer.number(-1 / kernel.range)}*{r})", f"Exp(-{r})"
        value = f"({writer.number(kernel.strength)}*{near}-{far})"
        weight = f"(({far}-{writer.number(kernel.strength / kernel.range)}*{near})*Rsqrt({square}))"
    elif type(kernel) is ScreenedCoulomb and kernel.field == 3:
        rate = writer.number(1 / kernel.length)
        value = f"(Exp(-{rate}*Sqrt({square}))*Rsqrt({square}))"
        weight = f"(-{value}*(Rsqrt({square})+{rate})*Rsqrt({square}))"
    else:
        return None
    return Formula(value, weight, tuple(writer.parameters), is_rational=writer.is_rational(weight))


class _Writer:
    """Writes powers, and keeps the numbers that are parameters."""

    def __init__(self) -> None:
        self.parameters: list[float] = []

    def number(self, value: float) -> str:
        """A parameter."""
        self.parameters.append(float(value))
        return f"Elem(p,{len(self.parameters) - 1})"

    def weight(self, square: str, q: float) -> str:
        """|x|^{q−2}."""
        return self._raised(square, q - 2)

    def value(self, square: str, q: float) -> str:
        """|x|^q/q, or log|x| for q = 0."""
        if q == 0:
            return f"({self.number(0.5)}*Log({square}))"
        return f"({self.number(1 / q)}*{self._raised(square, q)})"

    def _raised(self, square: str, q: float) -> str:
        form = {**_ROOTS, **_POWERS}.get(int(q)) if q == int(q) else None
        # KeOps' Powf has single precision on a CPU.
        return form.format(square) if form else f"Exp({self.number(0.5 * q)}*Log({square}))"

    @staticmethod
    def is_rational(weight: str) -> bool:
        """Whether it takes no function but roots."""
        return not any(name in weight for name in ("Exp(", "Log("))
