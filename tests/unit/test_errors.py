"""What ranks say of a failure."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.errors import describe


@pytest.mark.parametrize("side", [10**7, 3 * 10**7])
def test_memory_that_is_refused_is_told_with_its_size(side):
    """As of a map with p = d^2 parameters in a large dimension."""
    with pytest.raises(RuntimeError) as refusal:
        torch.empty(side, side, dtype=torch.float64)
    assert f", {8 * side**2} bytes at once: take fewer samples" in describe(refusal.value)
    assert "enforce fail" not in describe(refusal.value)


def test_memory_of_a_gpu_and_of_python():
    of_gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 74.51 GiB. GPU 0 has …")
    assert "74.51 GiB at once" in describe(of_gpu)
    assert describe(MemoryError()).startswith("there is no memory")


def test_other_errors_keep_their_words():
    assert describe(InputError("a")) == "a"
    assert describe(ZeroDivisionError("b")) == "ZeroDivisionError: b"
