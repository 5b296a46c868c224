"""A CUDA graph for machines without a GPU: Python runs once, and its operations are run again at
the same addresses.

As on a GPU nothing is computed while a graph is recorded, and what may not be recorded is refused:
a value that the host reads, a copy from or to it, autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor


class EmulatedGraph:
    """`torch.cuda.CUDAGraph`."""

    recording: ClassVar[EmulatedGraph | None] = None
    captures: ClassVar[int] = 0
    replays: ClassVar[int] = 0

    def __init__(self) -> None:
        self._calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: set[int] = set()

    def replay(self) -> None:
        EmulatedGraph.replays += 1
        for function, args, kwargs, results in self._calls:
            again = [each for each in leaves(function(*args, **kwargs)) if _is(each)]
            for old, new in zip(results, again, strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def run(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation on held tensors and record it."""
        given = [each for each in leaves((args, kwargs)) if _is(each)]
        for place, argument in enumerate(function._schema.arguments):
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            if argument.alias_info is not None and argument.alias_info.is_write and _is(value):
                self._save(value)
        result = function(*args, **kwargs)
        results = [each for each in leaves(result) if _is(each)]
        old = {_address(each) for each in given}
        self._made |= {_address(each) for each in results} - old
        self._calls.append((function, args, kwargs, results))
        return result

    def record(self, call: Callable[[], Any], written: Sequence[Tensor]) -> None:
        """Run and record a kernel that is no operation of torch."""
        for value in written:
            self._save(value)
        call()
        self._calls.append((lambda: call(), (), {}, []))

    def _save(self, value: Tensor) -> None:
        place = _address(value)
        if place not in self._before and place not in self._made:
            storage = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
            self._before[place] = storage, storage.clone()

    def restore(self) -> None:
        """Undo what the recording has computed."""
        for storage, numbers in self._before.values():
            storage.copy_(numbers)
        self._before.clear()


def leaves(value: Any) -> list[Any]:
    """What lies in lists, tuples and dictionaries of arguments."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def _is(value: Any) -> bool:
    return isinstance(value, Tensor)


def _address(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def refuse(what: str) -> None:
    """Refuse what is not permitted while a graph is recorded."""
    if EmulatedGraph.recording is not None:
        raise RuntimeError(f"operation not permitted when stream is capturing: {what}")


@contextmanager
def _recorded(graph: EmulatedGraph, *, stream: Any, capture_error_mode: str) -> Iterator[None]:
    """`torch.cuda.graph`."""
    assert capture_error_mode == "thread_local"  # else pinning memory elsewhere spoils it
    EmulatedGraph.recording, EmulatedGraph.captures = graph, EmulatedGraph.captures + 1
    try:
        yield
    finally:
        EmulatedGraph.recording = None
        graph.restore()


def _gradient(*args: Any, **kwargs: Any) -> Any:
    refuse("autograd runs on the stream of the forward pass")
    return _GRADIENT(*args, **kwargs)


_GRADIENT = torch.autograd.grad


def _stream(device: Any) -> Any:
    """A stream; that of a device that is not named may be one of another."""
    assert torch.device(device).type == "cuda"
    return SimpleNamespace(wait_stream=lambda other: None)


@contextmanager
def emulated_graphs() -> Iterator[None]:
    """Graphs and streams that are emulated inside."""
    with (
        patch("torch.cuda.CUDAGraph", EmulatedGraph),
        patch("torch.cuda.graph", _recorded),
        patch("torch.cuda.Stream", _stream),
        patch("torch.cuda.current_stream", _stream),
        patch("torch.cuda.stream", nullcontext),
        patch("torch.autograd.grad", _gradient),
    ):
        yield
