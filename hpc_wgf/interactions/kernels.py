"""Radial interaction kernels J(x) = j(|x|²), so that ∇J(x) = 2 j'(|x|²) x.

Sums over pairs need nothing but the matrix of squared distances and two matrix products.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..errors import InputError


class Kernel(ABC):
    """J, by its value and its weight 2j' as functions of |x|².

    `singular`: J or its weight is not finite at 0, so that a particle cannot act on itself.
    """

    singular: bool = False

    @abstractmethod
    def value(self, square: Tensor) -> Tensor:
        """j(|x|²) = J(x), of the shape of `square`."""

    @abstractmethod
    def weight(self, square: Tensor) -> Tensor:
        """2 j'(|x|²): ∇J(x) = weight · x, of the shape of `square`."""

    def even_powers(self) -> Mapping[int, float] | None:
        """{q: c_q} with J(x) = Σ c_q |x|^q and q among 2 and 4, else None."""
        return None

    def exponent_at_zero(self) -> float | None:
        """q with |J| ~ |x|^q, or J ~ log|x| for q = 0, where the kernel is singular, else None."""
        return None

    def check_dimension(self, dimension: int) -> None:
        """Errors: `InputError` where ∬|J| ρρ is infinite for every bounded density."""
        exponent = self.exponent_at_zero()
        if exponent is not None and exponent <= -dimension:
            raise InputError(
                f"the energy of {self} is infinite in dimension {dimension}: it grows like "
                f"|x|^{exponent:.3g} at 0, which is not integrable. Exponents must be above "
                f"{-dimension}"
            )

    def force_has_variance(self, dimension: int) -> bool:
        """Whether ∫|∇J|² is finite near 0, so that E|f|² of a sample has a limit."""
        exponent = self.exponent_at_zero()
        return exponent is None or 2 * (exponent - 1) + dimension > 0


class PowerLaw(Kernel):
    """J(x) = |x|^a/a − |x|^b/b, attractive far away and repulsive nearby for a > b [PWGF (3.12)].

    An exponent 0 stands for the logarithm: |x|⁰/0 means log|x|.
    """

    def __init__(self, a: float = 4.0, b: float = 2.0) -> None:
        if not (math.isfinite(a) and math.isfinite(b)) or a == b:
            raise InputError(
                f"a power law |x|^a/a − |x|^b/b needs finite exponents that differ, got a = {a} "
                f"and b = {b}: 4 and 2, or 2 and 0 for a logarithm, say"
            )
        self.a, self.b = float(a), float(b)
        self.singular = min(a, b) < 2

    def __repr__(self) -> str:
        return f"PowerLaw(a={self.a}, b={self.b})"

    def value(self, square: Tensor) -> Tensor:
        return _power(square, self.a) - _power(square, self.b)

    def weight(self, square: Tensor) -> Tensor:
        return square.pow(0.5 * self.a - 1) - square.pow(0.5 * self.b - 1)

    def even_powers(self) -> Mapping[int, float] | None:
        if {self.a, self.b} != {2.0, 4.0}:
            return None
        return {int(self.a): 1 / self.a, int(self.b): -1 / self.b}

    def exponent_at_zero(self) -> float | None:
        return min(self.a, self.b) if self.singular else None


def _power(square: Tensor, q: float) -> Tensor:
    """|x|^q/q, log|x| for q = 0."""
    return 0.5 * square.log() if q == 0 else square.pow(0.5 * q) / q


class GaussianKernel(Kernel):
    """J(x) = −A e^{−|x|²/(2σ²)}: attractive over a range σ for A > 0 [VWGF 4.4]."""

    def __init__(self, amplitude: float = 1.0, width: float = 1.0) -> None:
        if not (math.isfinite(amplitude) and width > 0 and math.isfinite(width)):
            raise InputError(
                "a Gaussian kernel needs a finite amplitude and a positive width, "
                f"got {amplitude} and {width}"
            )
        self.amplitude, self.width = float(amplitude), float(width)

    def __repr__(self) -> str:
        return f"GaussianKernel(amplitude={self.amplitude}, width={self.width})"

    def value(self, square: Tensor) -> Tensor:
        return torch.exp(square * (-0.5 / self.width**2)).mul_(-self.amplitude)

    def weight(self, square: Tensor) -> Tensor:
        return torch.exp(square * (-0.5 / self.width**2)).mul_(self.amplitude / self.width**2)


class UserKernel(Kernel):
    """A torch function j of |x|², elementwise and differentiable: J(x) = j(|x|²)."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None) -> None:
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        square = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
        try:
            value, weight = self.value(square), self.weight(square)
        except Exception as error:
            raise InputError(
                f"the kernel {self.name} cannot be evaluated and differentiated at |x|² = 0, 1, "
                f"4: {type(error).__name__}: {error}"
            ) from error
        if value.shape != square.shape:
            raise InputError(
                f"the kernel {self.name} returned shape {tuple(value.shape)} for squared distances "
                f"of shape {tuple(square.shape)}: it must act elementwise on |x|²"
            )
        finite = torch.isfinite(value) & torch.isfinite(weight)
        if not bool(finite[1:].all()):
            raise InputError(
                f"the kernel {self.name} or its derivative is not finite at |x|² = 1 or 4"
            )
        self.singular = not bool(finite[0])

    def __repr__(self) -> str:
        # Values tell two functions of one name apart, so that a resumed run is the same one.
        values = self.value(torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)).tolist()
        return f"UserKernel({self.name}, j(0.5, 1, 4) = {values})"

    def exponent_at_zero(self) -> float | None:
        if not self.singular:
            return None
        square = torch.tensor([1e-12, 1e-10], dtype=torch.float64)
        near, far = self.weight(square).abs().log().tolist()  # |∇J| = weight · |x| ~ |x|^{q−1}
        exponent = (near - far) / math.log(1e-1) + 2
        return exponent if math.isfinite(exponent) else None

    def value(self, square: Tensor) -> Tensor:
        return self.function(square)

    def weight(self, square: Tensor) -> Tensor:
        with torch.enable_grad():
            point = square.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.function(point).sum(), point)
        return 2 * slope
