"""Kernels that are functions of a user: of |x|², or of x itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from ..user_code import called, check_values, said
from .kernels import Kernel, PairKernel

_TRIED = 12  # points at which a function of x is tried
_WRONG = 1e-2  # of the size of a gradient
_ODD = 1e-6  # of the size of J


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


class NonradialKernel(PairKernel):
    """J(x − y) with J: ℝᵈ → ℝ, J(−x) = J(x), given by a torch function.

    J may be singular at 0: no particle acts on itself, nor on another in the same place."""

    singular = True

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None) -> None:
        """`function`: J, (n, d) → (n,), differentiable by torch. `name`: what the descriptions of a
        run call it, by default the name of the function.

        Errors: `InputError` for what cannot be called. The function is tried when its dimension is
        known (see `check_dimension`)."""
        if isinstance(function, type) or not callable(function):
            raise InputError(
                f"{function!r} is no function: give a torch function of x − y, (n, d) → (n,)"
            )
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        self._seen: list[float] = []

    def __repr__(self) -> str:
        # A run is identified by its description when it is resumed. The values tell two functions
        # of one name apart; they are known once the dimension is.
        values = f", J = {self._seen}" if self._seen else ""
        return f"NonradialKernel({self.name}{values})"

    def values(self, x: Tensor) -> Tensor:
        """J(x), (n, d) → (n,). Errors: `InputError` for results of another kind."""
        what = f"the kernel {self.name}"
        # The function gets points of its own: what it does to them is not done to the pairs.
        value = called(what, self.function, x.clone())
        check_values(what, value, x, x.shape[:1], "one value for each difference x − y")
        return value

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """J(x), (n,), and ∇J(x), (n, d). Errors: `InputError` where torch cannot differentiate."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            value = self.values(point)
            if not value.requires_grad:
                raise InputError(
                    f"the kernel {self.name} returned values that torch cannot differentiate with "
                    "respect to x: compute them from x by torch functions, without detach or numpy"
                )
            (slope,) = torch.autograd.grad(value.sum(), point)
        return value.detach(), slope

    def check_dimension(self, dimension: int) -> None:
        """Errors: `InputError` if J cannot be evaluated or differentiated at a few points of this
        dimension, has the wrong shape there, is not finite or not even, has a value that depends
        on the other points, or another gradient than torch finds."""
        x = torch.randn(
            _TRIED, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        try:
            value, slope = self.gradient(x)
            mirrored, alone = self.values(-x), torch.cat([self.values(each) for each in x.split(1)])
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the kernel {self.name} cannot be evaluated and differentiated at differences of "
                f"shape {tuple(x.shape)}: {said(error)}"
            ) from error
        if not bool((value.isfinite() & slope.isfinite().all(1)).all()):
            raise InputError(f"the kernel {self.name} or its gradient is not finite away from 0")
        self._check_values(x, value, mirrored, alone)
        self._seen = value[:3].tolist()
        w = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
        h = torch.finfo(x.dtype).eps ** (1 / 3)
        differences = (self.values(x + h * w) - self.values(x - h * w)) / (2 * h)
        off = (differences - (slope * w).sum(1)).norm()
        if float(off) > _WRONG * float(differences.norm()) + h * float(value.norm()):
            raise InputError(
                f"the gradient that torch finds of the kernel {self.name} is not that of its "
                "values: compute them from x throughout, without detach or no_grad"
            )

    def _check_values(self, x: Tensor, value: Tensor, mirrored: Tensor, alone: Tensor) -> None:
        rounding = _ODD * float(value.abs().max())
        odd, coupled = (value - mirrored).abs(), (value - alone).abs()
        if float(coupled.max()) > rounding:
            raise InputError(
                f"the kernel {self.name} at a difference depends on the other differences: it must "
                "act on every row of x by itself"
            )
        if float(odd.max()) > rounding:
            k = int(odd.argmax())
            raise InputError(
                f"the kernel {self.name} is not even: J(x) = {float(value[k]):.4g} and J(−x) = "
                f"{float(mirrored[k]):.4g} at x = {[round(c, 3) for c in x[k].tolist()[:6]]}. An "
                "energy sees (J(x) + J(−x))/2 only: give that"
            )
