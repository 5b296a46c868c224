"""Tracing of tensor operations: the bytes that are held at once, and the work that is done."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..accounts import Part, current
from .intensity import MatrixProducts


@dataclass(frozen=True)
class Work:
    """Work of tensor operations; a linear space, so that work a sample is a difference quotient."""

    products: MatrixProducts = field(default_factory=MatrixProducts)
    """Matrix products."""
    moved: float = 0.0
    """Bytes read and written by operations that are neither matrix products nor factorisations."""
    matrices: float = 0.0
    """Small matrices that are factored, inverted or solved with."""
    matrix_flops: float = 0.0
    """Floating-point operations for these matrices, 2 q³ for each of q rows."""
    calls: float = 0.0
    """Tensor operations started."""

    @property
    def flops(self) -> float:
        """Floating-point operations of matrix products."""
        return self.products.flops

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def __sub__(self, other: Work) -> Work:
        return self + (-1.0) * other

    def __rmul__(self, factor: float) -> Work:
        return Work(*(factor * value for value in self._values()))

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, part.name) for part in fields(self))


class Traced(TorchDispatchMode):
    """Context in which tensor operations are traced.

    `work`: done so far. `now`, `peak`: bytes of the tensors made inside that are alive at present,
    and the most at any time; views count once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        given = {tensor.untyped_storage()._cdata for tensor in _tensors([args, kwargs])}
        for tensor in _tensors(result):
            if tensor.untyped_storage()._cdata not in given:
                self._hold(tensor)
        if not function.is_view:
            self.work += _work(function, args, kwargs, result)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class WorkByPart(TorchDispatchMode):
    """Context in which the work of this thread's tensor operations is counted by the part of its
    account that they belong to."""

    def __init__(self) -> None:
        super().__init__()
        self.work: dict[Part, Work] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if not function.is_view:
            account = current()
            name = Part.REST if account is None else account.present
            done = _work(function, args, kwargs, result)
            self.work[name] = self.work.get(name, Work()) + done
        return result


def traced(call: Callable[[], object]) -> Traced:
    """The trace of a call; its result is released when the call has returned."""
    with Traced() as trace:
        call()
    return trace


def _work(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Work:
    """The work of one operation of torch."""
    packet, flop_registry = function._overloadpacket, _flop_registry()
    if packet in flop_registry:
        flops = float(flop_registry[packet](*args, **kwargs, out_val=result))
        nbytes = _bytes([args, result])  # and not `out`, which is the result
        return Work(MatrixProducts.of(flops, nbytes), calls=1)
    if function.name() == _HALF_OF_OWN_PRODUCT:
        side, entries = len(result), args[0].numel()
        return Work(MatrixProducts.of((side + 1.0) * entries, _bytes([args, result])), calls=1)
    if packet in _FACTORISATIONS:
        matrix = next(_tensors(args))
        side = matrix.shape[-1]
        number = matrix.numel() / max(1, side * side)
        return Work(matrices=number, matrix_flops=number * 2.0 * side**3, calls=1)
    if packet in _ALLOCATIONS:
        return Work()
    return Work(moved=_bytes([args, kwargs, result]), calls=1)


@cache
def _flop_registry() -> Mapping[Any, Any]:
    # It imports triton, a quarter of a second that runs which trace nothing do without.
    from torch.utils.flop_counter import flop_registry

    return flop_registry


_aten = torch.ops.aten
_FACTORISATIONS = {
    _aten._linalg_slogdet,
    _aten._linalg_solve_ex,
    _aten.linalg_inv_ex,
    _aten.linalg_lu_factor_ex,
    _aten.linalg_lu_solve,
}
_HALF_OF_OWN_PRODUCT = "hpc_wgf::half_of_own_product"  # A Aᵀ of `metric.syrk`, q (q + 1) n
_ALLOCATIONS = {_aten.empty, _aten.empty_like, _aten.new_empty, _aten.empty_strided}


def _bytes(tree: Any) -> float:
    return float(sum(tensor.numel() * tensor.element_size() for tensor in _tensors(tree)))


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (chunk for chunk in tree_leaves(tree) if isinstance(chunk, Tensor))


def held_bytes(*objects: object, beside: Sequence[object] = ()) -> int:
    """Bytes of all tensors in `objects`, which may be dataclasses, mappings and sequences of them.

    A storage that several tensors share counts once, and not at all if it is also in `beside`.
    """
    known = _storages(beside)
    return sum(size for key, size in _storages(objects).items() if key not in known)


def _storages(tree: object) -> dict[int, int]:
    """Bytes of the storages of all tensors in `tree`, by the address of the storage."""
    if isinstance(tree, Tensor):
        storage = tree.untyped_storage()
        return {storage._cdata: storage.nbytes()}
    parts: list[object] = []
    if is_dataclass(tree):
        parts = [getattr(tree, part.name) for part in fields(tree)]
    elif isinstance(tree, Mapping):
        parts = list(tree.values())
    elif isinstance(tree, list | tuple):
        parts = list(tree)
    return {key: size for part in parts for key, size in _storages(part).items()}
