"""Radial interaction kernels J(x) = j(|x|²), for which ∇J(x) = 2 j'(|x|²) x.

Sums over pairs then need only the matrix of squared distances and two matrix products.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Real

import torch
from torch import Tensor

from ..errors import InputError
from ..user_code import called


class Kernel(ABC):
    """A radial kernel J(x) = j(|x|²). A subclass defines j and its weight 2j'."""

    singular: bool = False
    """Whether j or j' is not finite at 0. A particle then cannot act on itself."""

    @abstractmethod
    def value(self, square: Tensor) -> Tensor:
        """j(|x|²) = J(x), of the shape of `square`."""

    @abstractmethod
    def weight(self, square: Tensor) -> Tensor:
        """2 j'(|x|²), of the shape of `square`: ∇J(x) = weight · x."""

    def even_powers(self) -> Mapping[int, float] | None:
        """The coefficients {q: c_q} if J(x) = c₂|x|² + c₄|x|⁴, else None."""
        return None

    def exponent_at_zero(self) -> float | None:
        """The exponent q with |J(x)| ~ |x|^q as x → 0, or 0 if J(x) ~ log|x|, for a singular
        kernel; else None."""
        return None

    def convexity(self) -> float | None:
        """κ ≤ λ_min(∇²J(x)) for all x, as near as it is known; None where no such bound is."""
        return None

    def check_dimension(self, dimension: int) -> None:
        """Errors: `InputError` if J is not integrable at 0 in this dimension, so that ∬|J| ρρ is
        infinite for every bounded density."""
        exponent = self.exponent_at_zero()
        if exponent is not None and exponent <= -dimension:
            raise InputError(
                f"the energy of {self} is infinite in dimension {dimension}: it grows like "
                f"|x|^{exponent:.3g} at 0, which is not integrable. Exponents must be above "
                f"{-dimension}"
            )

    def force_has_variance(self, dimension: int) -> bool:
        """Whether |∇J|² is integrable at 0 in this dimension, so that the force between two random
        particles has finite variance."""
        exponent = self.exponent_at_zero()
        return exponent is None or 2 * (exponent - 1) + dimension > 0


def _finite(*values: object) -> bool:
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


class PowerLaw(Kernel):
    """J(x) = |x|^a/a − |x|^b/b, where |x|⁰/0 stands for log|x| [PWGF (3.12)].

    For a > b it is attractive at distances above 1 and repulsive below.
    """

    def __init__(self, a: float = 4.0, b: float = 2.0) -> None:
        """Errors: `InputError` unless the exponents are finite and differ."""
        if not _finite(a, b) or a == b:
            raise InputError(
                f"a power law |x|^a/a − |x|^b/b needs finite exponents that differ, got a = {a!r} "
                f"and b = {b!r}: 4 and 2, or 2 and 0 for a logarithm, say"
            )
        self.a, self.b = float(a), float(b)
        self.singular = min(a, b) < 2

    def __repr__(self) -> str:
        return f"PowerLaw(a={self.a}, b={self.b})"

    def value(self, square: Tensor) -> Tensor:
        return _power(square, self.a) - _power(square, self.b)

    def weight(self, square: Tensor) -> Tensor:
        return square.pow(0.5 * self.a - 1) - square.pow(0.5 * self.b - 1)

    def convexity(self) -> float | None:
        """For 2 ≤ b < a that of (a − 1)|x|^{a−2} − (b − 1)|x|^{b−2}, the eigenvalue along x: −1 for
        b = 2, else at |x|^{a−b} = (b − 1)(b − 2)/((a − 1)(a − 2))."""
        a, b = self.a, self.b
        if not 2 <= b < a:
            return None
        r = ((b - 1) * (b - 2) / ((a - 1) * (a - 2))) ** (1 / (a - b))
        return (a - 1) * r ** (a - 2) - (b - 1) * (r ** (b - 2) if b > 2 else 1.0)

    def even_powers(self) -> Mapping[int, float] | None:
        if {self.a, self.b} != {2.0, 4.0}:
            return None
        return {int(self.a): 1 / self.a, int(self.b): -1 / self.b}

    def exponent_at_zero(self) -> float | None:
        return min(self.a, self.b) if self.singular else None


def _power(square: Tensor, q: float) -> Tensor:
    """|x|^q/q, or log|x| for q = 0."""
    return 0.5 * square.log() if q == 0 else square.pow(0.5 * q) / q


class GaussianKernel(Kernel):
    """J(x) = −A e^{−|x|²/(2σ²)}, attractive for A > 0 [VWGF 4.4]."""

    def __init__(self, amplitude: float = 1.0, width: float = 1.0) -> None:
        """`amplitude`: A. `width`: σ > 0, in units of x.

        Errors: `InputError` for other values."""
        if not (_finite(amplitude, width) and width > 0):
            raise InputError(
                "a Gaussian kernel needs a finite amplitude and a positive width, "
                f"got {amplitude!r} and {width!r}"
            )
        self.amplitude, self.width = float(amplitude), float(width)

    def __repr__(self) -> str:
        return f"GaussianKernel(amplitude={self.amplitude}, width={self.width})"

    def value(self, square: Tensor) -> Tensor:
        return torch.exp(square * (-0.5 / self.width**2)).mul_(-self.amplitude)

    def weight(self, square: Tensor) -> Tensor:
        return torch.exp(square * (-0.5 / self.width**2)).mul_(self.amplitude / self.width**2)

    def convexity(self) -> float | None:
        """−2 e^{−3/2} A/σ², along x at |x| = √3 σ, for A > 0; A/σ², that at 0, else."""
        factor = 2 * math.exp(-1.5) if self.amplitude > 0 else -1.0
        return -factor * self.amplitude / self.width**2


class Morse(Kernel):
    """J(x) = C e^{−|x|/ℓ} − e^{−|x|}: repulsion of strength C and range ℓ, attraction of strength
    and range 1, in units of x (M. R. D'Orsogna, Y. L. Chuang, A. L. Bertozzi, L. S. Chayes, Phys.
    Rev. Lett. 96 (2006) 104302)."""

    singular = True  # The gradient has no direction at 0.

    def __init__(self, strength: float = 2.0, range: float = 0.5) -> None:
        """`strength`: C ≥ 0. `range`: ℓ > 0.

        Errors: `InputError` for other values."""
        if not (_finite(strength, range) and strength >= 0 and range > 0):
            raise InputError(
                "a Morse kernel needs a strength from 0 on and a positive range, both finite, got "
                f"{strength!r} and {range!r}"
            )
        self.strength, self.range = float(strength), float(range)

    def __repr__(self) -> str:
        return f"Morse(strength={self.strength}, range={self.range})"

    def value(self, square: Tensor) -> Tensor:
        r = square.sqrt()
        return self.strength * torch.exp(-r / self.range) - torch.exp(-r)

    def weight(self, square: Tensor) -> Tensor:
        r = square.sqrt()
        repulsion = self.strength / self.range * torch.exp(-r / self.range)
        return (torch.exp(-r) - repulsion) / r

    def exponent_at_zero(self) -> float | None:
        return 1.0  # J(x) − J(0) ~ |x|


class UserKernel(Kernel):
    """J(x) = j(|x|²) with j given by a torch function."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None) -> None:
        """`function`: j, elementwise on tensors of any shape and differentiable by torch. `name`:
        what the descriptions of a run call it, by default the name of the function.

        Errors: `InputError` if j is no function, fails at 1 or 4, returns no tensor, or is not
        elementwise or not finite there."""
        if not callable(function):
            raise InputError(
                f"{function!r} is no function: give a torch function of |x|², elementwise"
            )
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        square = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
        try:
            value = self.value(square)
            if not isinstance(value, Tensor):
                raise InputError(
                    f"the kernel {self.name} returned a {type(value).__name__} for squared "
                    "distances: it must act elementwise on |x|², by torch functions"
                )
            weight = self.weight(square)
        except InputError:
            raise
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
        # A run is identified by its description when it is resumed. The values tell two functions
        # of one name apart.
        values = self.value(torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)).tolist()
        return f"UserKernel({self.name}, j(0.5, 1, 4) = {values})"

    def exponent_at_zero(self) -> float | None:
        if not self.singular:
            return None
        square = torch.tensor([1e-12, 1e-10], dtype=torch.float64)
        # As |∇J| = weight · |x| ~ |x|^{q−1}, the logarithmic slope of the weight is q − 2.
        near, far = self.weight(square).abs().log().tolist()
        exponent = (near - far) / math.log(1e-1) + 2
        return exponent if math.isfinite(exponent) else None

    def value(self, square: Tensor) -> Tensor:
        return called(f"the kernel {self.name}", self.function, square)

    def weight(self, square: Tensor) -> Tensor:
        with torch.enable_grad():
            point = square.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.value(point).sum(), point)
        return 2 * slope
