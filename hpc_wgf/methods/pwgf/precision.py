"""The precision of matrix products on a GPU, which torch keeps for the whole process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch

from ...parallel import Communicator
from .options import PWGFOptions

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Runner(Protocol):
    """What has options, and a device on which to follow them."""

    communicator: Communicator
    options: PWGFOptions


_S = TypeVar("_S", bound=_Runner)


@contextmanager
def tensor_float(wanted: bool) -> Iterator[None]:
    """A context in which float32 products on a GPU may round to ten bits, or may not."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def in_own_precision(
    method: Callable[Concatenate[_S, _P], _R],
) -> Callable[Concatenate[_S, _P], _R]:
    """The method of a runner, in whose calls products are as its option `tf32` says. What measures
    a run is not among them: that is to see the map as whoever uses it afterwards."""

    def inside(self: _S, /, *arguments: _P.args, **named: _P.kwargs) -> _R:
        if self.communicator.device.type != "cuda":
            return method(self, *arguments, **named)
        with tensor_float(self.options.tf32):
            return method(self, *arguments, **named)

    update_wrapper(inside, method)
    return inside
