"""A Aᵀ by half of its operations, against all of them."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.metric.syrk import times_own_transpose
from hpc_wgf.profiling.tracing import traced


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [5, 400])
@pytest.mark.parametrize("layout", ["rows", "columns", "neither"])
def test_it_is_the_whole_product(dtype, rows, layout):
    wide = torch.randn(rows, 2 * 70, dtype=dtype)
    a = {"rows": wide[:, ::2].contiguous(), "columns": wide[:, ::2].T.contiguous().T}.get(
        layout, wide[:, ::2]
    )
    found, expected = times_own_transpose(a), a @ a.T
    assert found.dtype is dtype
    assert float((found - expected).abs().max()) <= 200 * torch.finfo(dtype).eps


def test_its_operations_are_counted():
    few, many = torch.randn(300, 20), torch.randn(400, 20)
    assert traced(lambda: times_own_transpose(few)).work.flops == 2 * 300 * 300 * 20
    for a in (many, many.T.contiguous().T):
        assert traced(lambda a=a: times_own_transpose(a)).work.flops == 400 * 401 * 20
