"""What is tried of a kernel before any pair is summed: its kind, and what it returns."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .kernels import Kernel
from .user_kernels import NonradialKernel

# |x|² of the trial: no round numbers, where users put the kinks of their kernels.
_AT = ((0.2603, 0.9137, 1.7319), (3.8711, 0.5927, 8.6143))


def check_kernel(kernel: object) -> None:
    """Whether `kernel` is a kernel whose j and 2j' map squared distances, of any shape and
    precision, elementwise to tensors of the same kind, and whether the latter is the derivative. A
    kernel of x itself is tried once its dimension is known.

    Errors: `InputError` that says what was given and what is expected.
    """
    if isinstance(kernel, NonradialKernel):
        return
    if not isinstance(kernel, Kernel):
        given = f"the class {kernel.__name__}" if isinstance(kernel, type) else f"{kernel!r}"
        raise InputError(
            f"{given} is no kernel: give GaussianKernel(…) or PowerLaw(…), say, or wrap a torch "
            "function of |x|² of yours as UserKernel(function, name), one of x − y as "
            "NonradialKernel(function, name)"
        )
    for dtype in (torch.float64, torch.float32):
        square = torch.tensor(_AT, dtype=dtype)
        for what in ("value", "weight"):
            _check_result(kernel, what, square)
    _check_derivative(kernel, torch.tensor(_AT, dtype=torch.float64))


def _tried(kernel: Kernel, what: str, square: Tensor) -> Tensor:
    """`kernel.value` or `kernel.weight` at a copy of `square`."""
    try:
        result: Tensor = getattr(kernel, what)(square.clone())
    except Exception as error:
        raise InputError(
            f"the {what} of {kernel} cannot be evaluated at squared distances of shape "
            f"{tuple(square.shape)}: {type(error).__name__}: {error}"
        ) from error
    return result


def _check_result(kernel: Kernel, what: str, square: Tensor) -> None:
    found = _tried(kernel, what, square)
    wanted = f"a torch tensor of shape {tuple(square.shape)} in {_name(square.dtype)}"
    if not isinstance(found, Tensor):
        raise InputError(
            f"the {what} of {kernel} is a {type(found).__name__} where {wanted} is expected: "
            "compute it from |x|² by torch functions"
        )
    if found.shape != square.shape or found.dtype != square.dtype:
        raise InputError(
            f"the {what} of {kernel} has shape {tuple(found.shape)} in {_name(found.dtype)} where "
            f"{wanted} is expected: it must act elementwise on |x|²"
        )
    rows = torch.cat([_tried(kernel, what, row[None]) for row in square])
    if not torch.allclose(rows, found, rtol=1e-4, atol=0.0, equal_nan=True):
        raise InputError(
            f"the {what} of {kernel} at a distance depends on the other distances: it must act "
            "elementwise on |x|²"
        )


def _check_derivative(kernel: Kernel, square: Tensor) -> None:
    """Errors: `InputError` where at most of the points difference quotients of j over two widths
    agree to 0.1 %, and the weight is off by 1 %."""
    wide, narrow = (
        (_tried(kernel, "value", square * (1 + h)) - _tried(kernel, "value", square * (1 - h)))
        / (h * square)
        for h in (1e-4, 1e-5)
    )
    weight = _tried(kernel, "weight", square)
    rounding = 1e-10 * _tried(kernel, "value", square).abs() / square
    settled = (wide - narrow).abs() <= 1e-3 * narrow.abs()
    wrong = settled & ((weight - narrow).abs() > 1e-2 * narrow.abs() + rounding)
    if int(wrong.sum()) > wrong.numel() // 2:  # At a kink both quotients agree, on neither slope.
        at, given, found = (float(each[wrong][0]) for each in (square, weight, narrow))
        raise InputError(
            f"the weight of {kernel} at |x|² = {at:g} is {given:.6g}, but 2 j' is {found:.6g}: it "
            "must be twice the derivative of the value with respect to |x|²"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
