"""Kernels made smooth at 0 over a stated length."""

from __future__ import annotations

from torch import Tensor

from ..errors import InputError
from .kernels import Kernel, PairKernel, Power, finite


class Softened(Kernel):
    """J_ε(x) = j(|x|² + ε²) for a radial kernel J(x) = j(|x|²): regular at 0, and another kernel
    than J within a few ε (H. C. Plummer, Mon. Not. R. Astron. Soc. 71 (1911) 460)."""

    def __init__(self, kernel: PairKernel, length: float) -> None:
        """`kernel`: J, radial. `length`: ε > 0, in units of x.

        Errors: `InputError` for other values."""
        if not isinstance(kernel, Kernel):
            raise InputError(f"only a radial kernel can be softened, and {kernel} is none")
        if not (finite(length) and length > 0):
            raise InputError(f"a kernel is softened over a finite length above 0, got {length!r}")
        self.kernel, self.length = kernel, float(length)

    def __repr__(self) -> str:
        return f"Softened({self.kernel}, length={self.length})"

    def value(self, square: Tensor) -> Tensor:
        return self.kernel.value(square + self.length**2)

    def weight(self, square: Tensor) -> Tensor:
        return self.kernel.weight(square + self.length**2)

    def convexity(self) -> float | None:
        """That of (|x|² + ε²)^{q/2}/q for a power: with s = |x|² + ε² the eigenvalues are s^{q/2−1}
        and s^{q/2−2}(ε² + (q − 1)|x|²), least at |x|² = 3ε²/(1 − q) if q < 1."""
        if not isinstance(self.kernel, Power):
            return None
        q, square = self.kernel.exponent, self.length**2
        if q >= 1:
            return self.kernel.convexity()
        return -2.0 * square * float(square * (4 - q) / (1 - q)) ** (q / 2 - 2)

    def concavity(self) -> float | None:
        """ε^{q−2}, that at 0, for a power q ≤ 2."""
        if not (isinstance(self.kernel, Power) and self.kernel.exponent <= 2):
            return None
        return float(self.length ** (self.kernel.exponent - 2))
