"""Derivatives that torch finds, held against differences of the values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError

_WRONG = 1e-2  # relative difference of both that is taken for a mistake, not for rounding


def refuse_other_derivative(
    what: str, derivative: Tensor, moved: Callable[[float], Tensor]
) -> None:
    """Errors: `InputError` where `derivative`, (n, k), is not d/dh of `moved`(h), (n, k), at h = 0:
    where central differences over two widths agree, and the derivative is another at more than half
    of the samples. At a kink of a function it is so at a few."""
    width = float(torch.finfo(derivative.dtype).eps ** (1 / 3))
    wide, narrow = ((moved(h) - moved(-h)) / (2 * h) for h in (4 * width, width))
    apart = (derivative - narrow).norm(dim=1)
    size = torch.maximum(narrow.norm(dim=1), derivative.norm(dim=1))
    settled = (wide - narrow).norm(dim=1) <= 0.1 * _WRONG * size
    # Beside a large constant the differences of the values are nothing but rounding.
    rounding = 4 * torch.finfo(derivative.dtype).eps * moved(0.0).norm(dim=1) / width
    wrong = settled & (apart > _WRONG * size + rounding)
    if int(wrong.sum()) > len(derivative) // 2:
        raise InputError(
            f"{what}, as torch finds it, is not that of the values (off by "
            f"{float((apart / size)[wrong].median()):.0%}): compute them from the tensors that are "
            "given, without detach, .data, item, numpy or rounding"
        )
