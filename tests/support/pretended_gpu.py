"""A GPU for machines without one: tensors that say they lie on cuda:0, computed on the CPU.

Under `pretended_gpu` the code runs as it would with a GPU, where it asks for the device of a tensor
and where it moves one, and gives real numbers. What torch would refuse on a GPU is refused: tensors
of both devices in one operation, a view in numpy. What would make the host wait for the GPU is
counted, and so are kernels. Streams and graphs are emulated; NCCL needs a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from emulated_graph import EmulatedGraph, emulated_graphs, leaves, refuse
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hpc_wgf.krylov import fused, recurrence
from hpc_wgf.krylov.recurrence import Lanczos, Scalars
from hpc_wgf.parallel import LocalCommunicator

_CPU, _GPU = torch.device("cpu"), torch.device("cuda", 0)
_MEMORY = 80 * 2**30
# Methods that read a value, and operations whose result has a shape that only values tell.
_READ = {
    Tensor.__float__, Tensor.__int__, Tensor.__bool__, Tensor.__index__,
    Tensor.item, Tensor.tolist, Tensor.is_nonzero,
}  # fmt: skip
_aten = torch.ops.aten
_WAITING = {_aten.nonzero.default, _aten.masked_select.default, _aten.equal.default}
_INDEXED = {_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default}
_UPLOADING = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


@dataclass
class Counts:
    """What a GPU would have done so far."""

    kernels: int = 0
    """Kernels that were launched one by one."""
    uploads: int = 0
    """Copies of the host's memory to the GPU."""
    reads: int = 0
    """Copies back, for which the host waits."""
    captures: int = 0
    """Graphs that were recorded."""
    replays: int = 0
    """Launches of graphs."""

    def __sub__(self, before: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(_numbers(self), _numbers(before), strict=True)))


def _numbers(counts: Counts) -> list[int]:
    return list(vars(counts).values())


COUNTS = Counts()


def _read() -> None:
    refuse("the host reads a value")
    COUNTS.reads += 1


def _upload() -> None:
    refuse("a copy of the host's memory")
    COUNTS.uploads += 1


@cache
def _makes_kernel(function: Any) -> bool:
    """Whether an operation computes anything, rather than looking at a tensor otherwise."""
    returns = function._schema.returns
    views = any(each.alias_info is not None and not each.alias_info.is_write for each in returns)
    return not views and not function._schema.name.startswith(("aten::empty", "aten::new_empty"))


class OnGPU(Tensor):
    """A tensor of the pretended GPU; `held` is where its numbers are."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGPU:
        self = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=_CPU,
        )  # fmt: skip
        self.held = held
        return self

    def __repr__(self) -> str:
        return f"OnGPU({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The same arguments with a function of every leaf in its place."""
    if isinstance(value, dict):
        return {name: mapped(function, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([mapped(function, each) for each in value])
    return function(value)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGPU) else value


def _is_gpu(device: Any) -> bool:
    return torch.device(device).type == "cuda"


def _computed(function, args, kwargs):
    """An operation on the numbers; on the GPU where one of its tensors is."""
    tensors = [value for value in leaves((args, kwargs)) if isinstance(value, Tensor)]
    own = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
    if not own:
        return function(*args, **kwargs)
    moves = function is _aten.copy_.default
    if function in _WAITING or (moves and not isinstance(args[0], OnGPU)):
        _read()
    elif moves and len(own) == 1:
        _upload()
    else:
        COUNTS.kernels += _makes_kernel(function)
    others = [tuple(each.shape) for each in tensors if not isinstance(each, OnGPU) and each.dim()]
    if function in _INDEXED and others and isinstance(args[0], OnGPU):
        _upload()  # Places that the host tells, as in x[[0, 2]].
    elif others and not moves:
        raise RuntimeError(f"{function} of tensors on cuda:0 and, of shapes {others}, on the CPU")
    held = mapped(_held, args), mapped(_held, kwargs)
    graph = EmulatedGraph.recording
    result = function(*held[0], **held[1]) if graph is None else graph.run(function, *held)
    if moves:
        return args[0]
    known = {id(tensor.held): tensor for tensor in own}  # results written in place

    def wrapped(value):
        if not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else OnGPU(value)

    return mapped(wrapped, result)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


class _Upload(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return OnGPU(tensor.detach().clone())

    @staticmethod
    def backward(ctx, gradient):
        return _held(gradient)


class _Download(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return _held(tensor).clone()

    @staticmethod
    def backward(ctx, gradient):
        return OnGPU(gradient)


def _moved(tensor: Tensor, *wanted: Any, **named: Any) -> Tensor:
    """`Tensor.to`."""
    device, dtype = named.get("device"), named.get("dtype")
    for each in wanted:
        if isinstance(each, torch.dtype):
            dtype = each
        elif isinstance(each, Tensor):
            device, dtype = _GPU if isinstance(each, OnGPU) else _CPU, each.dtype
        elif isinstance(each, str | torch.device):
            device = each
    if dtype not in (None, tensor.dtype):
        tensor = _aten._to_copy.default(tensor, dtype=dtype)
    here = isinstance(tensor, OnGPU)
    if device is None or _is_gpu(device) == here:
        return tensor
    if here:
        _read()
    else:
        _upload()
    return _Download.apply(tensor) if here else _Upload.apply(tensor)


class _Calls(TorchFunctionMode):
    """What names a device, or reads a value, is answered before torch looks for a GPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if function == Tensor.device.__get__:
            return _GPU if isinstance(first, OnGPU) else _CPU
        if function == Tensor.is_cuda.__get__:
            return isinstance(first, OnGPU)
        if function is Tensor.to:
            return _moved(*args, **kwargs)
        if function is Tensor.cpu:
            return _moved(first, _CPU)
        if isinstance(first, OnGPU) and function is Tensor.numpy:
            raise TypeError("a tensor on cuda:0 has no view in numpy")
        if isinstance(first, OnGPU) and function in _READ:
            _read()
            return function(first.held, *args[1:], **kwargs)
        device = kwargs.get("device")
        if device is None or function is torch._C._nn._parse_to:
            return function(*args, **kwargs)
        made = function(*args, **kwargs | {"device": _CPU})
        if not _is_gpu(device):
            return _held(made)
        if isinstance(made, OnGPU):
            return made
        if function in _UPLOADING:
            _upload()
        else:
            refuse("a tensor is made, which this emulation cannot record")
            COUNTS.kernels += "empty" not in function.__name__
        return OnGPU(made.detach()).requires_grad_(made.requires_grad)


class PretendedGPU(LocalCommunicator):
    """One process on the pretended GPU."""

    def __init__(self) -> None:
        super().__init__(_GPU)

    def counts(self) -> Counts:
        """What there has been to do so far."""
        graphs = {"captures": EmulatedGraph.captures, "replays": EmulatedGraph.replays}
        return replace(COUNTS, **graphs)

    def reads(self) -> int:
        """How often the host has waited for the GPU so far."""
        return COUNTS.reads


def _orthogonalise(s: Lanczos, y: Tensor) -> None:
    """With σ where a kernel finds it."""
    y.addcmul_(s.v, s.scalars.shift.to(y.dtype))
    s.shift, shift = 0.0, s.shift
    recurrence.orthogonalise(s, y)
    s.shift = shift


def _as_one(step: Callable[..., None]) -> Callable[..., None]:
    """A step that is one kernel."""

    def run(s: Lanczos, *tensors: Tensor) -> None:
        parts = {name: _held(value) for name, value in vars(s).items()}
        parts["scalars"] = Scalars(*map(_held, vars(s.scalars).values()))
        held = Lanczos(**parts), *map(_held, tensors)
        COUNTS.kernels += 1
        graph = EmulatedGraph.recording
        if graph is None:
            step(*held)
        else:
            written = [value for value in parts.values() if isinstance(value, Tensor)]
            graph.record(partial(step, *held), [*written, parts["scalars"].beta, *held[1:]])

    return run


_KERNELS = {
    "normalise": recurrence.normalise,
    "orthogonalise": _orthogonalise,
    "exchange": recurrence.exchange,
    "rotate": recurrence.rotate,
    "move": recurrence.move,
}


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """A communicator of one rank on the GPU that is pretended inside; the test is skipped where a
    real one is seen, whose pinned memory and streams would show through.
    """
    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    replaced = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    properties = SimpleNamespace(total_memory=_MEMORY, uuid="pretended")
    try:
        with (
            patch("torch.cuda.get_device_properties", lambda device=None: properties),
            patch("torch.cuda.mem_get_info", lambda device=None: (_MEMORY, _MEMORY)),
            patch("torch.cuda.memory_reserved", lambda device=None: 0),
            patch.multiple(fused, **{name: _as_one(step) for name, step in _KERNELS.items()}),
            emulated_graphs(),
            # Of Triton's kernels those of MINRES alone, as `_KERNELS` do what they would.
            patch("hpc_wgf.gpu.availability.usable", lambda device: False),
            patch(
                "hpc_wgf.krylov.minres._steps_on",
                lambda device: fused if device.type == "cuda" else recurrence,
            ),
            _Operations(),
            _Calls(),
        ):
            yield PretendedGPU()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(replaced)
