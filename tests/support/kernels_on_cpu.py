"""The kernels of `hpc_wgf.gpu` without a GPU: interpreted, and compiled ahead of time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest.mock import patch

import pytest

pytest.importorskip("triton")

from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from hpc_wgf.gpu import random_numbers

_MODULES: list[ModuleType] = [random_numbers]


@contextmanager
def interpreted() -> Iterator[None]:
    """All kernels run on the CPU inside, as with TRITON_INTERPRET=1 in a whole process."""
    with ExitStack() as stack:
        for module in _MODULES:
            for name, value in vars(module).copy().items():
                if isinstance(value, JITFunction):
                    stack.enter_context(patch.object(module, name, InterpretedFunction(value.fn)))
        yield
