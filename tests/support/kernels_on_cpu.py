"""The kernels of `hpc_wgf.gpu` without a GPU: interpreted, and compiled ahead of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

triton = pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.runtime.interpreter import InterpretedFunction  # noqa: E402
from triton.runtime.jit import JITFunction  # noqa: E402

from hpc_wgf.gpu import products, random_numbers  # noqa: E402

_MODULES: list[ModuleType] = [products, random_numbers]


@contextmanager
def interpreted() -> Iterator[None]:
    """All kernels run on the CPU inside, as with TRITON_INTERPRET=1 in a whole process."""
    with ExitStack() as stack:
        for module in _MODULES:
            for name, value in vars(module).copy().items():
                if isinstance(value, JITFunction):
                    stack.enter_context(patch.object(module, name, InterpretedFunction(value.fn)))
        yield


def compiled(
    kernel: JITFunction,
    pointers: Mapping[str, str],
    constants: Mapping[str, object],
    capability: int,
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
    options = {"num_warps": 4, "num_stages": 1}
    ptx: str = triton.compile(source, target=target, options=options).asm["ptx"]
    return ptx


def ptxas() -> Path | None:
    """The assembler that Triton brings."""
    found = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    return found if found.exists() else None
