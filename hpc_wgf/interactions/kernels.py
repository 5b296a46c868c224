"""Interaction kernels J(x − y), among them the radial ones J(x) = j(|x|²), for which ∇J(x) =
2 j'(|x|²) x: sums over pairs then need only the matrix of squared distances and two matrix
products.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Real

import torch
from torch import Tensor

from ..errors import InputError


class PairKernel:
    """A kernel J(x − y) = J(y − x) of an interaction: what does not depend on how it is given."""

    singular: bool = False
    """Whether J or ∇J is not finite at 0. A particle then cannot act on itself."""

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

    def concavity(self) -> float | None:
        """κ ≥ λ_max(∇²J(x)) for all x, likewise."""
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


class Kernel(PairKernel, ABC):
    """A radial kernel J(x) = j(|x|²). A subclass defines j and its weight 2j'."""

    @abstractmethod
    def value(self, square: Tensor) -> Tensor:
        """j(|x|²) = J(x), of the shape of `square`."""

    @abstractmethod
    def weight(self, square: Tensor) -> Tensor:
        """2 j'(|x|²), of the shape of `square`: ∇J(x) = weight · x."""


def finite(*values: object) -> bool:
    """Whether all are finite numbers."""
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


class Power(Kernel):
    """J(x) = |x|^q/q, where |x|⁰/0 stands for log|x|: attraction, with a negative factor of the
    energy repulsion."""

    def __init__(self, exponent: float = 2.0) -> None:
        """`exponent`: q. Errors: `InputError` unless it is finite."""
        if not finite(exponent):
            raise InputError(
                f"a power |x|^q/q needs a finite exponent, got {exponent!r}: 2, or 0 for a "
                "logarithm, say"
            )
        self.exponent = float(exponent)
        self.singular = self.exponent < 2

    def __repr__(self) -> str:
        return f"Power({self.exponent})"

    def value(self, square: Tensor) -> Tensor:
        return _power(square, self.exponent)

    def weight(self, square: Tensor) -> Tensor:
        return raised(square, self.exponent - 2)

    def even_powers(self) -> Mapping[int, float] | None:
        q = self.exponent
        return {int(q): 1 / q} if q in (2.0, 4.0) else None

    def exponent_at_zero(self) -> float | None:
        return self.exponent if self.singular else None

    def convexity(self) -> float | None:
        """1 for q = 2 and 0 for other q ≥ 1, whose eigenvalues |x|^{q−2} and (q − 1)|x|^{q−2} take
        all values from 0 on."""
        if self.exponent == 2:
            return 1.0
        return 0.0 if self.exponent >= 1 else None

    def concavity(self) -> float | None:
        return 1.0 if self.exponent == 2 else None


class PowerLaw(Kernel):
    """J(x) = |x|^a/a − |x|^b/b, where |x|⁰/0 stands for log|x| [PWGF (3.12)].

    For a > b it is attractive at distances above 1 and repulsive below.
    """

    def __init__(self, a: float = 4.0, b: float = 2.0) -> None:
        """Errors: `InputError` unless the exponents are finite and differ."""
        if not finite(a, b) or a == b:
            raise InputError(
                f"a power law |x|^a/a − |x|^b/b needs finite exponents that differ, got a = {a!r} "
                f"and b = {b!r}: 4 and 2, or 2 and 0 for a logarithm, say"
            )
        self.a, self.b = float(a), float(b)
        self.singular = min(a, b) < 2

    def __repr__(self) -> str:
        return f"PowerLaw(a={self.a}, b={self.b})"

    def value(self, square: Tensor) -> Tensor:
        return _power(square, self.a).sub_(_power(square, self.b))

    def weight(self, square: Tensor) -> Tensor:
        repulsion = 1.0 if self.b == 2 else raised(square, self.b - 2)
        return raised(square, self.a - 2).sub_(repulsion)

    def convexity(self) -> float | None:
        """For 2 ≤ b < a that of (a − 1)|x|^{a−2} − (b − 1)|x|^{b−2}, the eigenvalue along x: −1 for
        b = 2, else at |x|^{a−b} = (b − 1)(b − 2)/((a − 1)(a − 2))."""
        a, b = self.a, self.b
        if not 2 <= b < a:
            return None  # unbounded: at 0 for b < 2, far away for b > a
        r = ((b - 1) * (b - 2) / ((a - 1) * (a - 2))) ** (1 / (a - b))
        return (a - 1) * r ** (a - 2) - (b - 1) * (r ** (b - 2) if b > 2 else 1.0)

    def concavity(self) -> float | None:
        least = PowerLaw(self.b, self.a).convexity()  # J with a and b exchanged is −J.
        return None if least is None else -least

    def even_powers(self) -> Mapping[int, float] | None:
        if {self.a, self.b} != {2.0, 4.0}:
            return None
        return {int(self.a): 1 / self.a, int(self.b): -1 / self.b}

    def exponent_at_zero(self) -> float | None:
        return min(self.a, self.b) if self.singular else None


def raised(square: Tensor, q: float) -> Tensor:
    """|x|^q, a new tensor. For odd q roots and products take two fifths of the time of a power."""
    if abs(q) not in (3, 5):
        return square.pow(0.5 * q)
    odd = square.sqrt().mul_(square if abs(q) == 3 else square.square())
    return odd if q > 0 else odd.reciprocal_()


def _power(square: Tensor, q: float) -> Tensor:
    """|x|^q/q, or log|x| for q = 0."""
    return square.log().mul_(0.5) if q == 0 else raised(square, q).div_(q)


class GaussianKernel(Kernel):
    """J(x) = −A e^{−|x|²/(2σ²)}, attractive for A > 0 [VWGF 4.4]."""

    def __init__(self, amplitude: float = 1.0, width: float = 1.0) -> None:
        """`amplitude`: A. `width`: σ > 0, in units of x.

        Errors: `InputError` for other values."""
        if not (finite(amplitude, width) and width > 0):
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

    def concavity(self) -> float | None:
        least = GaussianKernel(-self.amplitude, self.width).convexity()
        return None if least is None else -least
