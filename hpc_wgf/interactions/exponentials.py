"""Kernels that fall off exponentially: Morse's, and the screened Coulomb potential."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from .kernels import Kernel, finite


class Morse(Kernel):
    """J(x) = C e^{−|x|/ℓ} − e^{−|x|}: repulsion of strength C and range ℓ, attraction of strength
    and range 1, in units of x (M. R. D'Orsogna, Y. L. Chuang, A. L. Bertozzi, L. S. Chayes, Phys.
    Rev. Lett. 96 (2006) 104302)."""

    singular = True  # The gradient has no direction at 0.

    def __init__(self, strength: float = 2.0, range: float = 0.5) -> None:
        """`strength`: C ≥ 0. `range`: ℓ > 0.

        Errors: `InputError` for other values."""
        if not (finite(strength, range) and strength >= 0 and range > 0):
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

    def convexity(self) -> float | None:
        """The least J'' where J' ≥ 0 at 0, that is C ≤ ℓ: the eigenvalue across, J'/r, is not below
        the mean of J'' on [0, r]. Else J'/r has no lower bound at 0."""
        return self._extreme(min) if self.strength <= self.range else None

    def concavity(self) -> float | None:
        return self._extreme(max) if self.strength >= self.range else None

    def _extreme(self, of: Callable[..., float]) -> float:
        """The least or largest of J''(r) = C e^{−r/ℓ}/ℓ² − e^{−r}, r ≥ 0: at 0, at infinity, or
        where its derivative is 0."""
        c, length = self.strength, self.range
        found = [0.0, c / length**2 - 1]
        if c > 0 and length != 1:
            r = math.log(c / length**3) / (1 / length - 1)
            if r > 0:
                found.append(c / length**2 * math.exp(-r / length) - math.exp(-r))
        return of(found)


class ScreenedCoulomb(Kernel):
    """The potential of a point charge whose field is screened over the length ℓ, in units of x:

        J(x) = e^{−|x|/ℓ}/|x|,  or  J(x) = K₀(|x|/ℓ),

    the solution of J/ℓ² − ΔJ = 4πδ in space, or = 2πδ in the plane, K₀ the modified Bessel
    function. It is repulsive; with a negative factor of the energy it is the attraction of
    chemotaxis whose signal decays (E. F. Keller, L. A. Segel, J. Theor. Biol. 26 (1970) 399).
    """

    singular = True

    def __init__(self, length: float = 1.0, field: int = 3) -> None:
        """`length`: ℓ > 0. `field`: 3 or 2, the dimension of the space that the field fills, which
        may be more than that of the particles.

        Errors: `InputError` for other values."""
        if not (finite(length) and length > 0):
            raise InputError(
                f"a screened Coulomb kernel needs a finite length above 0, got {length!r}"
            )
        if field not in (2, 3):
            raise InputError(
                f"the field of a screened Coulomb kernel fills 2 or 3 dimensions, got {field!r}"
            )
        self.length, self.field = float(length), int(field)

    def __repr__(self) -> str:
        return f"ScreenedCoulomb(length={self.length}, field={self.field})"

    def value(self, square: Tensor) -> Tensor:
        r = square.sqrt()
        if self.field == 2:
            return torch.special.modified_bessel_k0(r / self.length)
        return torch.exp(-r / self.length) / r

    def weight(self, square: Tensor) -> Tensor:
        r = square.sqrt()
        if self.field == 2:
            return -torch.special.modified_bessel_k1(r / self.length) / (self.length * r)
        return -torch.exp(-r / self.length) * (1 / r + 1 / self.length) / square

    def exponent_at_zero(self) -> float | None:
        return 0.0 if self.field == 2 else -1.0
