"""The kernels of `hpc_wgf.gpu` without a GPU: interpreted, and compiled ahead of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

triton = pytest.importorskip("triton")

# Imported by the interpreter where it is there, and not while the language has stand-ins.
with suppress(ImportError):
    import triton.experimental.gluon.language
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.runtime.interpreter import InterpretedFunction  # noqa: E402
from triton.runtime.jit import JITFunction  # noqa: E402

from hpc_wgf.gpu import matrices, products, random_numbers  # noqa: E402

# With the functions of Triton's own language that are kernels, as its sums.
_MODULES: list[ModuleType] = [matrices, products, random_numbers, tl, tl.standard]


@contextmanager
def interpreted() -> Iterator[None]:
    """All kernels run on the CPU inside, as with TRITON_INTERPRET=1 in a whole process."""
    # The interpreter knows combinations of its sums by what they are, so each has one stand-in.
    stand_ins: dict[int, InterpretedFunction] = {}
    with ExitStack() as stack:
        for module in _MODULES:
            for name, value in vars(module).copy().items():
                if isinstance(value, JITFunction):
                    stand_in = stand_ins.setdefault(id(value), InterpretedFunction(value.fn))
                    stack.enter_context(patch.object(module, name, stand_in))
        yield


def compiled(
    kernel: JITFunction,
    pointers: Mapping[str, str],
    constants: Mapping[str, object],
    capability: int,
    warps: int,
) -> str:
    """The kernel in PTX, for a GPU of this compute capability, as `hpc_wgf.gpu` starts it.
    `pointers`: the types of those arguments; the others are whole numbers, or `constants`."""
    names = list(kernel.arg_names)
    types = {each.name: each.annotation_type or "i32" for each in kernel.params}
    signature = {
        name: "constexpr" if name in constants else pointers.get(name, types[name])
        for name in names
    }
    source = ASTSource(
        kernel, signature, {(names.index(name),): value for name, value in constants.items()}
    )
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": warps, "num_stages": 1}
    ptx: str = triton.compile(source, target=target, options=options).asm["ptx"]
    return ptx


def ptxas() -> Path | None:
    """The assembler that Triton brings."""
    found = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    return found if found.exists() else None
