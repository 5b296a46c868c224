"""A GPU for machines without one: tensors that say they lie on cuda:0, computed on the CPU.

Under `pretended_gpu` the code runs as it would with a GPU, where it asks for the device of a tensor
and where it moves one, and gives real numbers. What torch would refuse on a GPU is refused: tensors
of both devices in one operation, a view in numpy. What would make the host wait for the GPU is
counted. Streams, graphs and NCCL need a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

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


class OnGPU(Tensor):
    """A tensor of the pretended GPU; `held` is where its numbers are."""

    held: Tensor
    reads: ClassVar[int] = 0

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


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGPU) else value


def _is_gpu(device: Any) -> bool:
    return torch.device(device).type == "cuda"


def _computed(function, args, kwargs):
    """An operation on the numbers; on the GPU where one of its tensors is."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    own = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
    if not own:
        return function(*args, **kwargs)
    OnGPU.reads += function in _WAITING
    moves = function is _aten.copy_.default
    OnGPU.reads += moves and len(own) == 1
    others = [tuple(each.shape) for each in tensors if not isinstance(each, OnGPU) and each.dim()]
    if others and not moves:
        raise RuntimeError(f"{function} of tensors on cuda:0 and, of shapes {others}, on the CPU")
    result = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    if moves:
        return args[0]
    known = {id(tensor.held): tensor for tensor in own}  # results written in place

    def wrapped(value):
        if not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else OnGPU(value)

    return tree_map(wrapped, result)


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
    OnGPU.reads += here
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
            OnGPU.reads += 1
            return function(first.held, *args[1:], **kwargs)
        device = kwargs.get("device")
        if device is None or function is torch._C._nn._parse_to:
            return function(*args, **kwargs)
        made = function(*args, **kwargs | {"device": _CPU})
        if not _is_gpu(device):
            return _held(made)
        if isinstance(made, OnGPU):
            return made
        return OnGPU(made.detach()).requires_grad_(made.requires_grad)


class PretendedGPU(LocalCommunicator):
    """One process on the pretended GPU."""

    def __init__(self) -> None:
        super().__init__(_GPU)
        self.capturable = False

    def reads(self) -> int:
        """How often the host has waited for the GPU so far."""
        return OnGPU.reads


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """A communicator of one rank on the GPU that is pretended inside."""
    replaced = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    properties = SimpleNamespace(total_memory=_MEMORY, uuid="pretended")
    try:
        with (
            patch("torch.cuda.get_device_properties", lambda device=None: properties),
            patch("torch.cuda.mem_get_info", lambda device=None: (_MEMORY, _MEMORY)),
            patch("torch.cuda.memory_reserved", lambda device=None: 0),
            patch("hpc_wgf.gpu.availability.usable", lambda device: False),
            _Operations(),
            _Calls(),
        ):
            yield PretendedGPU()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(replaced)
