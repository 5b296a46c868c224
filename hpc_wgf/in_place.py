"""Objects that hold tensors, at fixed addresses: copied once, and then overwritten by others of the
same build, so that a recorded CUDA graph finds new numbers where it looks."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

_T = TypeVar("_T")


def duplicate(held: _T) -> _T:
    """A copy of a tensor, a list or tuple of such, or a dataclass of such; all else as it is."""
    copied: Any = held
    if isinstance(held, Tensor):
        copied = held.clone()
    elif isinstance(held, list | tuple):
        copied = type(held)(duplicate(each) for each in held)
    elif is_dataclass(held) and not isinstance(held, type):
        parts = {each.name: duplicate(getattr(held, each.name)) for each in fields(held)}
        copied = replace(held, **parts)
    return copied


def signature(held: Any) -> Any:
    """What has to agree for `overwrite`: kinds, numbers, and shapes of tensors."""
    if isinstance(held, Tensor):
        return tuple(held.shape), held.dtype
    if isinstance(held, list | tuple):
        return tuple(signature(each) for each in held)
    if is_dataclass(held) and not isinstance(held, type):
        return type(held), *(signature(getattr(held, each.name)) for each in fields(held))
    return held


@torch.no_grad()
def overwrite(held: Any, new: Any) -> None:
    """Write the numbers of `new` into the tensors of `held`, of the same `signature`."""
    if isinstance(held, Tensor):
        held.copy_(new)
    elif isinstance(held, list | tuple):
        for mine, other in zip(held, new, strict=True):
            overwrite(mine, other)
    elif is_dataclass(held):
        for each in fields(held):
            overwrite(getattr(held, each.name), getattr(new, each.name))
