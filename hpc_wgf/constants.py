"""Constants on the device where they are needed: sent to a GPU once, not for every chunk, since
every such copy makes the host wait until the GPU has done all before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_KNOWN = 1024  # lists of numbers
# A copy goes with its constant, and is made anew where that has been written to since.
_Copies = dict[tuple[torch.device, torch.dtype], tuple[int, Tensor]]
_COPIES: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def like(constant: Tensor, x: Tensor) -> Tensor:
    """A constant with the dtype and on the device of x; not to be changed."""
    return _moved(constant, x.device, x.dtype)


def beside(constant: Tensor, x: Tensor) -> Tensor:
    """A constant on the device of x; not to be changed."""
    return _moved(constant, x.device, constant.dtype)


def numbers(values: Sequence[float], x: Tensor) -> Tensor:
    """Numbers that Python holds, (n,) like x; not to be changed."""
    return _listed(tuple(values), x.device, x.dtype)


def places(values: Sequence[int], x: Tensor) -> Tensor:
    """Places as an index on the device of x, (n,); not to be changed."""
    return _listed(tuple(values), x.device, torch.int64)


def _moved(constant: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    if constant.device == device:
        return constant.to(dtype)
    if constant.requires_grad:
        return constant.to(device, dtype)
    copies: _Copies = _COPIES.setdefault(constant, {})
    version, copy = copies.get((device, dtype), (-1, constant))
    if version != constant._version:
        copy = constant.to(device=device, dtype=dtype)
        copies[device, dtype] = constant._version, copy
    return copy


@lru_cache(maxsize=_KNOWN)
def _listed(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
